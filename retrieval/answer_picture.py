"""The picture of an answer: finds the voxels of the question and of its hits, as far as they are in reach."""

from pathlib import Path

import numpy as np

from encoders.config import VolumeGrid
from encoders.errors import CtsearchError
from retrieval.answers import Answer
from retrieval.hits import Hit
from retrieval.picture import Slices, Tile, draw_hits, take_slices
from retrieval.sources import series_files

MOST_TILES = 12
_GRID = VolumeGrid(slices=240, rows=480, columns=480, slice_mm=1.75, pixel_mm=1.0)  # a chest with its arms
_HU_AT_ONE = 1000.0  # of a prepared volume in [-1, 1]


def draw_answer(answer: Answer, path: Path) -> int:
    """Draw the question and its first hits into a PNG.

    Returns:
        How many hits could be drawn; those whose voxels are out of reach have an empty frame.

    Raises:
        StorageError: the picture cannot be written.
    """
    tiles = [_hit_tile(hit) for hit in answer.hits[: MOST_TILES - 1]]
    draw_hits(_query_tile(answer), tiles, path)
    return sum(tile.slices is not None for tile in tiles)


def slices_at(uri: str) -> Slices:
    """Take slices of a volume where it lies.

    Raises:
        CtsearchError: it cannot be read, or not any more.
    """
    from encoders.volumes import prepare_volume
    from retrieval.datasets.phantom import SHOWN_MM, draw_volume

    if uri.startswith("phantom:"):
        return take_slices(*draw_volume(uri, SHOWN_MM))
    prepared = prepare_volume(series_files(uri) or Path(uri), grid=_GRID)
    return take_slices(prepared.volume_DHW * np.float32(_HU_AT_ONE), _GRID.spacing_mm)


def _slices_at(uri: str | None) -> Slices | None:
    try:
        return None if uri is None else slices_at(uri)
    except CtsearchError:
        return None


def _query_tile(answer: Answer) -> Tile:
    asked = answer.query
    labels = ", ".join(asked["labels"])
    match asked["kind"]:
        case "case":
            title = f"Query: {asked['latent_of']}"
            return Tile(title=title, lines=(labels,), slices=_slices_at(asked.get("source")))
        case "volume":
            name = Path(asked["volume"]).name
            return Tile(title=f"Query: {name}", lines=(labels,), slices=_slices_at(asked["volume"]))
        case kind:
            return Tile(title="Query", lines=(labels,), instead=str(asked[kind]))


def _hit_tile(hit: Hit) -> Tile:
    who = ", ".join(
        f"{value:g} years" if name == "age_years" else str(value)
        for name in ("sex", "age_years")
        if (value := hit.metadata.get(name)) is not None
    )
    found = f"shares {', '.join(hit.shared_labels)}" if hit.shared_labels else ", ".join(hit.labels)
    return Tile(
        title=f"{hit.rank}. {hit.volume or hit.study}",
        lines=(f"score {hit.score:.3f}{'  ' + who if who else ''}", found),
        slices=_slices_at(hit.metadata.get("source")),
    )
