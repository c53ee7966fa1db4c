"""Verification: the check of signatures, in threads and in processes."""
