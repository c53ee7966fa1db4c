"""Witnessed domains on a node: their state in memory, and this node as one of their witnesses."""
