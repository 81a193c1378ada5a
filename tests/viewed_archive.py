"""Scans to look at, with a mark that tells left from right, and an archive that holds them."""

from pathlib import Path

import numpy as np

from tests.command import Command
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti

MARK_HU = 1200


def marked_chest(*, up: int = 0, shape: tuple[int, int, int] = (40, 96, 96)) -> np.ndarray:
    """A drawn chest (S, L, P) with a bright block at the patient's left, `up` slices above the middle."""
    hu = chest_hu(shape)
    slices, left, back = shape
    hu[
        slices // 2 - 2 + up : slices // 2 + 3 + up,
        int(left * 0.80) : int(left * 0.88),
        int(back * 0.42) : int(back * 0.5),
    ] = MARK_HU
    return hu


def write_marked(path: Path, *, up: int = 0, towards: tuple[int, int, int] = (-1, -1, 1)) -> Path:
    """Write it with axes towards L, P, S if not said otherwise (-1 is away from R, A, S), 4 × 4 × 5 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = as_xyz(marked_chest(up=up))
    flips = tuple(
        slice(None, None, -1) if one != usual else slice(None)
        for one, usual in zip(towards, (-1, -1, 1), strict=True)
    )
    return write_nifti(path, np.ascontiguousarray(stored[flips]), towards=towards)


def index_folder(ctsearch: Command, model: Path, folder: Path, *options: str) -> None:
    """Index a folder of anonymous scans with a tiny encoder."""
    done = ctsearch("index", folder, "--encoder", model, "--json", *options)
    assert done.code == 0, done.err
