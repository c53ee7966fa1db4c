"""Answers: JSON bodies, pages of any collection, problems, and how much memory answers may take."""
