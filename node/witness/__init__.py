"""This node as a witness of domains, and what clients learn of witnesses."""
