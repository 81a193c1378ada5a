"""Scans to look at, with a mark that tells left from right, and an archive that holds them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from retrieval.archive import index_archive
from retrieval.index_summary import IndexRequest
from retrieval.postgres_server import EmbeddedServer
from tests.command import Command
from tests.conftest import TEMPLATE
from tests.phantom_desk import Silent, copied_engine
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.tiny_model import write_tiny_model

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


@contextmanager
def viewed_engine(server: EmbeddedServer, name: str, folder: Path) -> Iterator[Engine]:
    """An engine on an archive of a folder of anonymous scans, for all tests of a module."""
    with copied_engine(server, TEMPLATE, name) as engine:
        model = write_tiny_model(folder.parent / "tiny").directory
        done = index_archive(IndexRequest(source=str(folder), encoder=str(model), anonymous=True), Silent())
        assert not done.failed, done.failed
        yield engine
