"""Datasets: each yields Cases."""

from encoders.errors import DatasetError
from retrieval.datasets.opening import open_source
from retrieval.datasets.source import Source, SourceFormat, Tables

__all__ = ["DatasetError", "Source", "SourceFormat", "Tables", "open_source"]
