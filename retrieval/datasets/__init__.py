"""Datasets: each yields Cases."""
