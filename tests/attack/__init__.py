"""Attacks on a real node, with a measurement of what they cost it and an honest client."""
