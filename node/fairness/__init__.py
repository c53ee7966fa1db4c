"""Fairness: how many bytes, places and microseconds callers may take, shared by address, so that nobody takes all."""
