"""The nearest latents of one kind, exactly: filter first, then every distance that is left, in Postgres.

The inner product of unit latents is their cosine. Rows that tie are ordered by name, so that no answer
depends on the order of insertion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, Subquery, any_, bindparam, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute

from retrieval.filters import Filters, study_conditions, volume_conditions
from retrieval.row_sets import Newer, Proposed
from retrieval.schema import Report, Study, Volume, embedding

Unit = Literal["study", "volume"]
Latent = NDArray[np.float32]
_Item = type[Volume] | type[Report]
_Found = Any  # a row with study_id, study, dataset, item_id, item and d, its distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """The rows that may be found: a collection's, without those that are excluded or filtered away."""

    collection_id: int
    filters: Filters
    unit: Unit
    excluded_studies: frozenset[int] = frozenset()
    rows: Proposed | Newer | None = None  # of these alone; None is every latent


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A row found; `volume` is None where a study has no volume row that matches."""

    study_id: int
    study: str
    dataset: str
    volume_id: int | None
    volume: str | None
    report_id: int | None  # the report whose latent was found
    rank: int  # from 1; volumes found through their study's report share its rank
    score: float  # inner product, or what legs were fused to

    @property
    def order(self) -> tuple[float, str, str, int, str]:
        """Best first, ties by name."""
        return (-self.score, self.study, self.dataset, self.study_id, self.volume or "")


def listed(column: InstrumentedAttribute[Any] | ColumnElement[Any]) -> ColumnElement[bool]:
    """`column` is one of the parameter `ids`, an array: for statements that are built once."""
    return column == any_(bindparam("ids", type_=ARRAY(BigInteger)))


def among(column: InstrumentedAttribute[Any] | ColumnElement[Any], ids: Iterable[int]) -> ColumnElement[bool]:
    """`column` is one of `ids`, as one array parameter: Postgres takes no more than 65,535 of them."""
    return column == any_(bindparam(None, sorted(ids), type_=ARRAY(BigInteger)))


def nearest_volumes(connection: Connection, gallery: Gallery, query_L: Latent, limit: int) -> list[Neighbour]:
    """Rank volume latents by their inner product with `query_L`.

    Args:
        connection: to the archive.
        gallery: what may be found. Unit "study": each study once, by its best reconstruction that matches.
        query_L: (L,), as long as the collection's latents; it need not be of unit length.
        limit: how many at most; fewer come back only where fewer match.
    """
    rows = connection.execute(_statement(Volume, gallery), _parameters(gallery, query_L, limit))
    found = _first_of_each_study(rows, limit) if gallery.unit == "study" else list(rows)
    return [
        Neighbour(
            study_id=row.study_id,
            study=row.study,
            dataset=row.dataset,
            volume_id=row.item_id,
            volume=row.item,
            report_id=None,
            rank=rank,
            score=-row.d,
        )
        for rank, row in enumerate(found, start=1)
    ]


def nearest_reports(connection: Connection, gallery: Gallery, query_L: Latent, limit: int) -> list[Neighbour]:
    """Rank report latents by their inner product with `query_L`; each study once, by its best report.

    Args:
        connection: to the archive.
        gallery: what may be found. Unit "volume": each study found stands for all its volumes that match.
        query_L: (L,), as long as the collection's latents; it need not be of unit length.
        limit: how many at most; fewer come back only where fewer match.
    """
    rows = connection.execute(_statement(Report, gallery), _parameters(gallery, query_L, limit))
    found = _first_of_each_study(rows, limit)
    volumes = matching_volumes(connection, gallery, [row.study_id for row in found])
    neighbours = [
        Neighbour(
            study_id=row.study_id,
            study=row.study,
            dataset=row.dataset,
            volume_id=volume_id,
            volume=volume,
            report_id=row.item_id,
            rank=rank,
            score=-row.d,
        )
        for rank, row in enumerate(found, start=1)
        for volume_id, volume in shown_volumes(volumes.get(row.study_id, []), gallery.unit)
    ]
    return neighbours[:limit]


def matching_volumes(
    connection: Connection, gallery: Gallery, study_ids: Sequence[int]
) -> dict[int, list[tuple[int, str]]]:
    """Return each study's volumes that match the filters, (id, name): those with a latent first, by name."""
    here = embedding.alias()
    rows = (
        select(Volume.study_id, Volume.id, Volume.name)
        .outerjoin(here, (here.c.volume_id == Volume.id) & (here.c.collection_id == gallery.collection_id))
        .where(among(Volume.study_id, study_ids), *volume_conditions(gallery.filters))
        .order_by(Volume.study_id, here.c.volume_id.is_(None), Volume.name.collate("C"))
    )
    volumes: dict[int, list[tuple[int, str]]] = {}
    for study_id, volume_id, name in connection.execute(rows):
        volumes.setdefault(study_id, []).append((volume_id, name))
    return volumes


def _statement(item: _Item, gallery: Gallery) -> Select[Any]:
    """Return what ranks a gallery; for rows that were proposed it is built once and kept."""
    if isinstance(gallery.rows, Proposed):
        return _ranking_proposed(item, gallery.unit, gallery.rows.snapshot is not None)
    return _ranking(item, gallery)


@cache
def _ranking_proposed(item: _Item, unit: Unit, in_snapshot: bool) -> Select[Any]:
    rows = Proposed(item_ids=(), snapshot="" if in_snapshot else None)
    return _ranking(item, Gallery(collection_id=0, filters=Filters(), unit=unit, rows=rows))


def _ranking(item: _Item, gallery: Gallery) -> Select[Any]:
    distance = embedding.c.latent.max_inner_product(bindparam("query", type_=VECTOR))
    within = _within(item, gallery)
    if item is Report or gallery.unit == "study":
        studies = select(embedding.c.study_id, func.min(distance).label("d")).group_by(embedding.c.study_id)
        return _best_items(_closest(studies, within), distance, within, item)
    volumes = select(embedding.c.study_id, embedding.c.volume_id, distance.label("d"))
    return _volume_rows(_closest(volumes, within))


def _parameters(gallery: Gallery, query_L: Latent, limit: int) -> dict[str, Any]:
    rows = gallery.rows.parameters if isinstance(gallery.rows, Proposed) else {}
    excluded = sorted(gallery.excluded_studies)
    return {
        "collection": gallery.collection_id,
        "query": query_L,
        "limit": limit,
        "excluded": excluded,
    } | rows


def _within(item: _Item, gallery: Gallery) -> list[ColumnElement[bool]]:
    """Return what a gallery's latents fulfil; of a report, that some volume of its study matches too."""
    item_id = embedding.c.volume_id if item is Volume else embedding.c.report_id
    excluded = embedding.c.study_id == any_(bindparam("excluded", type_=ARRAY(BigInteger)))
    within = [embedding.c.collection_id == bindparam("collection"), item_id.is_not(None), ~excluded]
    if gallery.rows is not None:
        within += gallery.rows.conditions(item_id)
    if isinstance(gallery.rows, Proposed):
        return within  # the filters were asked before
    conditions = study_conditions(gallery.filters)
    if conditions:
        within.append(embedding.c.study_id.in_(select(Study.id).where(*conditions)))
    if gallery.filters.on_volumes:
        here, there = (item_id, Volume.id) if item is Volume else (embedding.c.study_id, Volume.study_id)
        within.append(here.in_(select(there).where(*volume_conditions(gallery.filters))))
    return within


def _closest(rows: Select[Any], within: list[ColumnElement[bool]]) -> Subquery:
    """With ties, so that what is cut off is decided by name later, not by chance here."""
    limit = bindparam("limit", type_=BigInteger)
    return rows.where(*within).order_by("d").fetch(limit, with_ties=True).subquery("closest")


def _best_items(
    closest: Subquery,
    distance: ColumnElement[float],
    within: list[ColumnElement[bool]],
    item: _Item,
) -> Select[Any]:
    """Join each of the closest studies with the item, or the items by name, that are so close."""
    item_id, name = (
        (embedding.c.volume_id, Volume.name) if item is Volume else (embedding.c.report_id, Report.source_key)
    )
    return (
        select(
            Study.id.label("study_id"),
            Study.name.label("study"),
            Study.dataset,
            item_id.label("item_id"),
            name.label("item"),
            closest.c.d,
        )
        .select_from(closest)
        .join(embedding, (embedding.c.study_id == closest.c.study_id) & (distance == closest.c.d))
        .join(Study, Study.id == closest.c.study_id)
        .join(item, item.id == item_id)
        .where(*within)
        .order_by(
            closest.c.d,
            Study.name.collate("C"),
            Study.dataset.collate("C"),
            Study.id,
            name.collate("C"),
        )
    )


def _first_of_each_study(rows: Iterable[_Found], limit: int) -> list[_Found]:
    first: dict[int, _Found] = {}
    for row in rows:
        first.setdefault(row.study_id, row)
    return list(first.values())[:limit]


def _volume_rows(closest: Subquery) -> Select[Any]:
    return (
        select(
            Study.id.label("study_id"),
            Study.name.label("study"),
            Study.dataset,
            Volume.id.label("item_id"),
            Volume.name.label("item"),
            closest.c.d,
        )
        .select_from(closest)
        .join(Study, Study.id == closest.c.study_id)
        .join(Volume, Volume.id == closest.c.volume_id)
        .order_by(
            closest.c.d,
            Study.name.collate("C"),
            Study.dataset.collate("C"),
            Study.id,
            Volume.name.collate("C"),
        )
        .limit(bindparam("limit", type_=BigInteger))
    )


def shown_volumes(volumes: list[tuple[int, str]], unit: Unit) -> list[tuple[int | None, str | None]]:
    """Return the volumes that stand for a study found by its report: the first, or all, or (None, None)."""
    if not volumes:
        return [(None, None)]
    return list(volumes) if unit == "volume" else [volumes[0]]
