"""The one way in: every record passes here, from its arrival to its commit."""
