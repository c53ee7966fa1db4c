"""Sync with peers over plain HTTP: when a run starts, what it compares, what it sends."""
