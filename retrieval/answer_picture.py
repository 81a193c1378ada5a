"""The picture of an answer: finds the voxels of the question and of its hits, as far as they are in reach."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sqlalchemy import select, tuple_
from sqlalchemy.engine import Connection

from encoders.config import VolumeGrid
from encoders.errors import CtsearchError
from retrieval.hits import Hit
from retrieval.picture import Slices, Tile, draw_hits, take_slices
from retrieval.schema import SourceFile, Volume
from retrieval.search import Answer

MOST_TILES = 12
_GRID = VolumeGrid(slices=240, rows=480, columns=480, slice_mm=1.75, pixel_mm=1.0)  # a chest with its arms
_PHANTOM_MM = (4.0, 2.0, 2.0)  # finer than the encoder sees, so that a person recognises what is drawn
_HU_AT_ONE = 1000.0  # of a prepared volume in [-1, 1]

Key = tuple[str, str]  # (dataset, volume)


def draw_answer(connection: Connection, answer: Answer, path: Path) -> int:
    """Draw the question and its first hits into a PNG.

    Returns:
        How many hits could be drawn; those whose voxels are out of reach have an empty frame.

    Raises:
        StorageError: the picture cannot be written.
    """
    hits = answer.hits[: MOST_TILES - 1]
    keys = [(str(hit.metadata["dataset"]), hit.volume) for hit in hits if hit.volume is not None]
    uris = _uris(connection, [*keys, *_asked_key(answer)])
    tiles = [_hit_tile(hit, uris) for hit in hits]
    draw_hits(_query_tile(answer, uris), tiles, path)
    return sum(tile.slices is not None for tile in tiles)


def slices_at(uri: str) -> Slices | None:
    """Take slices of a volume where it lies; None where it cannot be read any more."""
    from encoders.volumes import prepare_volume
    from retrieval.datasets.phantom import draw_volume

    try:
        if uri.startswith("phantom:"):
            return take_slices(*draw_volume(uri, _PHANTOM_MM))
        prepared = prepare_volume(Path(uri), grid=_GRID)
    except CtsearchError:
        return None
    return take_slices(prepared.volume_DHW * np.float32(_HU_AT_ONE), _GRID.spacing_mm)


def _uris(connection: Connection, keys: Sequence[Key]) -> Mapping[Key, str]:
    rows = (
        select(Volume.dataset, Volume.name, SourceFile.uri)
        .join(SourceFile, SourceFile.volume_id == Volume.id)
        .where(tuple_(Volume.dataset, Volume.name).in_(keys), SourceFile.uri.is_not(None))
    )
    return {(dataset, name): uri or "" for dataset, name, uri in connection.execute(rows)}


def _asked_key(answer: Answer) -> list[Key]:
    asked = answer.query
    return [(asked["dataset"], asked["latent_of"])] if asked["kind"] == "case" else []


def _query_tile(answer: Answer, uris: Mapping[Key, str]) -> Tile:
    asked = answer.query
    labels = ", ".join(asked["labels"])
    match asked["kind"]:
        case "case":
            uri = uris.get(_asked_key(answer)[0])
            slices = None if uri is None else slices_at(uri)
            return Tile(title=f"Query: {asked['latent_of']}", lines=(labels,), slices=slices)
        case "volume":
            name = Path(asked["volume"]).name
            return Tile(title=f"Query: {name}", lines=(labels,), slices=slices_at(asked["volume"]))
        case kind:
            return Tile(title="Query", lines=(labels,), instead=str(asked[kind]))


def _hit_tile(hit: Hit, uris: Mapping[Key, str]) -> Tile:
    uri = uris.get((str(hit.metadata["dataset"]), hit.volume or ""))
    who = ", ".join(
        f"{value:g} years" if name == "age_years" else str(value)
        for name in ("sex", "age_years")
        if (value := hit.metadata.get(name)) is not None
    )
    found = f"shares {', '.join(hit.shared_labels)}" if hit.shared_labels else ", ".join(hit.labels)
    return Tile(
        title=f"{hit.rank}. {hit.volume or hit.study}",
        lines=(f"score {hit.score:.3f}{'  ' + who if who else ''}", found),
        slices=None if uri is None else slices_at(uri),
    )
