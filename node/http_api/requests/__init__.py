"""Requests: who calls, what the caller asks for, and how much memory bodies may take."""
