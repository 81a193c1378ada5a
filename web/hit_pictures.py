"""The key slice of each hit, for what is printed: as many as can be drawn while somebody waits."""

import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from pathlib import Path

from encoders.errors import CtsearchError
from retrieval.hits import Hit
from retrieval.slice_pictures import draw_slice
from retrieval.viewing import OpenVolume, VolumeViews
from retrieval.voxel_sources import VoxelSource
from retrieval.windows import LUNG

MOST_PICTURES = 24
_WAITED_S = 20.0  # for all of them: a volume that was never opened takes seconds
_SIZE_PX = 360


def hit_pictures(volumes: VolumeViews, hits: tuple[Hit, ...]) -> dict[int, bytes]:
    """Return PNGs by rank, lung window; hits whose voxels are out of reach, or come too late, have none."""
    until = time.monotonic() + _WAITED_S
    begun: list[tuple[Hit, VoxelSource, Future[Path] | None]] = []
    for hit in hits[:MOST_PICTURES]:
        if hit.volume is None:
            continue
        with suppress(CtsearchError):
            source = volumes.source(hit.metadata["dataset"], hit.volume)
            begun.append((hit, source, None if volumes.find(source) else volumes.open(source)))
    pictures = {}
    for hit, source, opening in begun:
        with suppress(CtsearchError, LateError):
            if opening is not None:
                opening.result(timeout=max(0.0, until - time.monotonic()))
            opened = volumes.find(source)
            if opened is not None:
                pictures[hit.rank] = _drawn(opened)
    return pictures


def _drawn(opened: OpenVolume) -> bytes:
    return draw_slice(opened.voxels(), opened.grid, "axial", round(opened.grid.key[0]), LUNG, _SIZE_PX)
