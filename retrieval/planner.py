"""Which engine answers, and why: by what is asked of the rows, how many there are, and what is at hand.

Filters come first, always: one after an approximate search loses cases silently. Then, in this order:

1. a snapshot in memory (FAISS), exact if it is a flat one;
2. PostgreSQL's HNSW index, where nothing is filtered and the collection is so large that it has one;
3. PostgreSQL, comparing all that the filters leave.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.engines import Ranking, compare_all, hnsw_is_ready, nearest_by_hnsw, nearest_in_snapshot
from retrieval.named_cases import LatentKind
from retrieval.neighbours import Gallery
from retrieval.snapshot_age import snapshot_age
from retrieval.snapshot_files import Snapshot

EngineChoice = Literal["auto", "faiss", "pgvector"]


def nearest(
    connection: Connection,
    galleries: Sequence[Gallery],
    kind: LatentKind,
    queries_QL: NDArray[np.float32],
    limit: int,
    *,
    choice: EngineChoice,
    snapshot: Snapshot | None,
) -> list[Ranking]:
    """Rank a collection's latents of one kind for each query, by the engine that suits.

    Args:
        connection: in one transaction for all of an answer.
        galleries: what each query may find, of one collection and with the same filters.
        kind: of latents.
        queries_QL: (Q, L).
        limit: how many neighbours at most, each; fewer come back only where fewer match.
        choice: an engine, or auto.
        snapshot: of the gallery's collection; None where there is none.

    Raises:
        SearchError: faiss is asked for and there is no snapshot for it.
    """
    if choice == "faiss" and snapshot is None:
        raise SearchError("FAISS has no snapshot of this collection to search; leave --engine out")
    asked = list(zip(galleries, queries_QL, strict=True))
    if not asked:
        return []
    filters, collection_id = galleries[0].filters, galleries[0].collection_id
    if choice != "pgvector" and snapshot is not None:
        age = snapshot_age(connection, collection_id, snapshot.manifest.pg_snapshot)
        if age.is_seen:
            return nearest_in_snapshot(
                connection, galleries, kind, queries_QL, limit, snapshot, has_newer=age.has_newer
            )
    if not filters.is_set and hnsw_is_ready(connection, collection_id, kind):
        return [nearest_by_hnsw(connection, gallery, kind, query_L, limit) for gallery, query_L in asked]
    why = f"{'all that match' if filters.is_set else 'all'} compared by pgvector"
    return [compare_all(connection, gallery, kind, query_L, limit, why) for gallery, query_L in asked]
