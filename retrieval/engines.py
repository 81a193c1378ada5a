"""The engines that propose: FAISS over a snapshot in memory, and an HNSW index in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.engine import Connection

from retrieval.confirmation import Proposals, confirm, merged, nearest_of_all, rows_at_first
from retrieval.latent_copy import raw_connection
from retrieval.latent_indexes import hnsw_name
from retrieval.matching_rows import matching_rows
from retrieval.named_cases import LatentKind
from retrieval.neighbours import Gallery, Latent, Neighbour
from retrieval.row_sets import Newer
from retrieval.schema import partition_name
from retrieval.snapshot_files import Part, Snapshot

Latents = NDArray[np.float32]
_NOTHING = Proposals(item_ids=(), farthest=-np.inf, is_all=True)
_HNSW_SEARCH = 200  # candidates that the index keeps while it walks
_HNSW_AT_MOST = 10_000  # rows asked of the index; who wants more is better served by all of them


EngineName = Literal["faiss", "pgvector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Neighbours of one question by one kind of latent, best first, and how they were found."""

    neighbours: Sequence[Neighbour]
    engine: EngineName
    exact: bool
    why: str


def nearest_in_snapshot(
    connection: Connection,
    galleries: Sequence[Gallery],
    kind: LatentKind,
    queries_QL: Latents,
    limit: int,
    snapshot: Snapshot,
    *,
    has_newer: bool,
) -> list[Ranking]:
    """Search a snapshot in memory, and in PostgreSQL what is newer.

    Args:
        connection: in a transaction that sees whatever the snapshot holds; see `snapshot_age`.
        galleries: what each query may find, of one collection and with the same filters.
        kind: of latents.
        queries_QL: (Q, L).
        limit: how many at most; fewer come back only where fewer match.
        snapshot: of the collection.
        has_newer: whether the transaction sees latents that the snapshot does not hold.

    Returns:
        One answer a query.
    """
    part = snapshot.parts.get(kind)
    searched = _Searched(
        part=part,
        among_N=None if part is None else matching_rows(connection, galleries[0].filters, kind, part),
        seen_in=snapshot.manifest.pg_snapshot,
        has_newer=has_newer,
    )
    proposed = searched.propose(queries_QL, rows_at_first(limit))
    return [
        _confirmed(connection, gallery, kind, query_L, limit, searched, proposals)
        for gallery, query_L, proposals in zip(galleries, queries_QL, proposed, strict=True)
    ]


def hnsw_is_ready(connection: Connection, collection_id: int, kind: LatentKind) -> bool:
    """Whether a collection has an HNSW index of a kind of latent that answers questions."""
    ready = "SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid AND indisready"
    name = {"name": hnsw_name(collection_id, kind)}
    return bool(connection.execute(text(f"SELECT EXISTS ({ready})"), name).scalar())


def nearest_by_hnsw(
    connection: Connection, gallery: Gallery, kind: LatentKind, query_L: Latent, limit: int
) -> Ranking:
    """Search the collection's HNSW index, without filters; compare all where it gives too few.

    The index holds halves of the latents' precision; what it proposes is ranked by the latents themselves.

    Args:
        connection: in a transaction.
        gallery: what may be found; it has no filters.
        kind: of latents.
        query_L: (L,).
        limit: how many at most.
    """
    if rows_at_first(limit) <= _HNSW_AT_MOST:
        propose = partial(_propose_by_hnsw, connection, gallery.collection_id, kind, query_L)
        first = propose(rows_at_first(limit))
        found = confirm(
            connection,
            gallery,
            kind,
            query_L,
            limit,
            proposals=first,
            propose=propose,
            snapshot=None,
            exact=False,
        )
        if len(found) >= limit:
            return Ranking(
                neighbours=found,
                engine="pgvector",
                exact=False,
                why="no filter, so by the HNSW index of pgvector",
            )
    why = "the HNSW index gives too few, so all latents compared by pgvector"
    return compare_all(connection, gallery, kind, query_L, limit, why)


def compare_all(
    connection: Connection, gallery: Gallery, kind: LatentKind, query_L: Latent, limit: int, why: str
) -> Ranking:
    """Compare all latents that a gallery leaves, in PostgreSQL; `why` is told."""
    found = nearest_of_all(connection, gallery, kind, query_L, limit)
    return Ranking(neighbours=found, engine="pgvector", exact=True, why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Searched:
    """The rows of a snapshot that one search looks at."""

    part: Part | None  # None: the snapshot has no latent of this kind
    among_N: NDArray[np.bool_] | None  # None: all of them
    seen_in: str
    has_newer: bool

    @property
    def exact(self) -> bool:
        return self.part is None or self.part.latents.is_exact(filtered=self.among_N is not None)

    @property
    def why(self) -> str:
        newer = "newer ones by pgvector" if self.has_newer else ""
        if self.part is None:
            return newer or "there are none"
        of = len(self.part.latents)
        count = of if self.among_N is None else int(self.among_N.sum())
        matching = f"all {of:,}" if self.among_N is None else f"{count:,} of {of:,} that match"
        how = "compared" if self.exact else "searched"
        return f"{matching} {how} in memory ({self.part.latents.kind})" + (newer and f", {newer}")

    def propose(self, queries_QL: Latents, rows: int) -> list[Proposals]:
        if self.part is None:
            return [_NOTHING] * len(queries_QL)
        nearest = self.part.latents.nearest(queries_QL, rows, self.among_N)
        is_all = nearest.row_QK.shape[1] < rows
        return [
            Proposals(
                item_ids=self.part.item_id_N[row_K[row_K >= 0]].tolist(),
                farthest=float(score_K[-1]) if len(score_K) else -np.inf,
                is_all=is_all,
            )
            for row_K, score_K in zip(nearest.row_QK, nearest.score_QK, strict=True)
        ]

    def propose_one(self, query_L: Latent, rows: int) -> Proposals:
        return self.propose(query_L[None], rows)[0]


def _confirmed(
    connection: Connection,
    gallery: Gallery,
    kind: LatentKind,
    query_L: Latent,
    limit: int,
    searched: _Searched,
    proposals: Proposals,
) -> Ranking:
    found = confirm(
        connection,
        gallery,
        kind,
        query_L,
        limit,
        proposals=proposals,
        propose=partial(searched.propose_one, query_L),
        snapshot=searched.seen_in,
        exact=searched.exact,
    )
    if searched.has_newer:
        newer = replace(gallery, rows=Newer(snapshot=searched.seen_in))
        found = merged([found, nearest_of_all(connection, newer, kind, query_L, limit)], gallery, limit)
    if searched.exact or len(found) >= limit:
        return Ranking(neighbours=found, engine="faiss", exact=searched.exact, why=searched.why)
    why = f"{searched.why}; too few, so all compared by pgvector"
    return compare_all(connection, gallery, kind, query_L, limit, why)


def _propose_by_hnsw(
    connection: Connection, collection_id: int, kind: LatentKind, query_L: Latent, rows: int
) -> Proposals:
    """Walk the index; iteratively, or it would end after `ef_search` rows."""
    if rows > _HNSW_AT_MOST:
        return _NOTHING
    connection.execute(
        text(
            "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), "
            "set_config('hnsw.ef_search', :candidates, true)"
        ),
        {"candidates": str(_HNSW_SEARCH)},
    )
    half = sql.SQL("halfvec({})").format(sql.Literal(len(query_L)))
    query = sql.SQL(
        "SELECT {item}, -(latent::{half} <#> %(query)s::{half}) FROM {table} WHERE {item} IS NOT NULL "
        "ORDER BY latent::{half} <#> %(query)s::{half} LIMIT %(rows)s"
    ).format(
        item=sql.Identifier(f"{kind}_id"), half=half, table=sql.Identifier(partition_name(collection_id))
    )
    unit_L = query_L / max(
        float(np.linalg.norm(query_L)), 1e-30
    )  # the order is the same; halves end at 65,504
    latent = "[" + ",".join(map(str, unit_L.tolist())) + "]"
    found = raw_connection(connection).execute(query, {"query": latent, "rows": rows}).fetchall()
    return Proposals(
        item_ids=[item_id for item_id, _ in found],
        farthest=found[-1][1] if found else -np.inf,
        is_all=len(found) < rows,
    )
