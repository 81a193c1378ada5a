"""Retrieval: cases are stored and found."""
