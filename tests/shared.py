"""Finds the reference data that lies beside a checkout and is never part of it."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_file(relative: str) -> Path:
    """Return a path under ../shared, or skip the test where it is missing."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"reference data ../shared/{relative} is not on this machine")
    return path
