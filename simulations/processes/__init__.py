"""Nodes as real processes on loopback: local runs and the demo."""
