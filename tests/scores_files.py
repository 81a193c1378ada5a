"""Writes scores as files that `ctsearch evaluate detection` reads, for a table of labels."""

import csv
from pathlib import Path

import numpy as np

from encoders.abnormalities import ABNORMALITIES


def write_scores(path: Path, labels: Path, *, seed: int = 0, skill: float = 1.0, **changed) -> Path:
    """Noise, higher by `skill` where the label is 1; None takes an array out."""
    with labels.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    column = next(iter(rows[0]))
    present = np.array([[row.get(finding) == "1" for finding in ABNORMALITIES] for row in rows])
    noise = np.random.default_rng(seed).standard_normal(present.shape)
    arrays = {
        "name": np.array([row[column] for row in rows]),
        "score": noise + skill * present,
        **changed,
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path
