"""What an engine proposes, PostgreSQL confirms.

An engine names the rows that it holds for nearest. PostgreSQL ranks them by the latents that the
transaction sees, groups them by study, and leaves out what was deleted, rewritten or excluded. The answer is
complete when its last hit is nearer than the farthest row that was proposed; until then more are asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.engine import Connection

from retrieval.named_cases import LatentKind
from retrieval.neighbours import Gallery, Latent, Neighbour, nearest_reports, nearest_volumes
from retrieval.row_sets import Proposed

_ROWS_A_HIT = 4  # proposed at first: most scans have two reconstructions, some three
_AT_LEAST = 64
_MORE = 4  # times as many, where these did not do
_ROUNDING = 1e-5  # between two engines' float32 inner products of unit latents; longer queries, more of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """Rows that an engine holds for nearest."""

    item_ids: Sequence[int]  # of volumes or of reports
    farthest: float  # the least inner product among them
    is_all: bool  # the engine has no more


def rows_at_first(limit: int) -> int:
    """Return how many rows to ask of an engine for so many hits."""
    return max(_AT_LEAST, _ROWS_A_HIT * limit)


def nearest_of_all(
    connection: Connection, gallery: Gallery, kind: LatentKind, query_L: Latent, limit: int
) -> list[Neighbour]:
    """Compare every latent of a kind that a gallery leaves, in PostgreSQL."""
    return (nearest_volumes if kind == "volume" else nearest_reports)(connection, gallery, query_L, limit)


def confirm(
    connection: Connection,
    gallery: Gallery,
    kind: LatentKind,
    query_L: Latent,
    limit: int,
    *,
    proposals: Proposals,
    propose: Callable[[int], Proposals],
    snapshot: str | None,
    exact: bool,
) -> list[Neighbour]:
    """Rank what an engine proposes.

    Args:
        connection: in one transaction for all of an answer.
        gallery: what may be found.
        kind: of latents.
        query_L: (L,).
        limit: how many at most.
        proposals: the engine's first, of `rows_at_first` rows.
        propose: asks the engine for that many rows.
        snapshot: in which the engine read them; None where it reads the table itself.
        exact: whether the engine leaves out no row that is nearer than one it names.
    """
    wanted = rows_at_first(limit)
    rounding = _ROUNDING * max(1.0, float(np.linalg.norm(query_L)))
    while True:
        proposed = Proposed(item_ids=proposals.item_ids, snapshot=snapshot)
        found = nearest_of_all(connection, replace(gallery, rows=proposed), kind, query_L, limit)
        if proposals.is_all or (
            len(found) >= limit and (not exact or found[-1].score > proposals.farthest + rounding)
        ):
            return found
        wanted *= _MORE
        proposals = propose(wanted)


def merged(rankings: Sequence[Sequence[Neighbour]], gallery: Gallery, limit: int) -> list[Neighbour]:
    """Merge rankings by score, each study or volume once, by its best row; ranks count from 1 again."""
    best: dict[int, Neighbour] = {}
    for ranking in rankings:
        for neighbour in ranking:
            item = neighbour.study_id if gallery.unit == "study" else (neighbour.volume_id or 0)
            key = item or -neighbour.study_id  # a study without a volume row
            if key not in best or neighbour.order < best[key].order:
                best[key] = neighbour
    ordered = sorted(best.values(), key=lambda neighbour: neighbour.order)[:limit]
    ranked: list[Neighbour] = []
    for neighbour in ordered:  # volumes found through their study's report share its rank
        same = ranked and neighbour.report_id is not None and ranked[-1].study_id == neighbour.study_id
        ranked.append(replace(neighbour, rank=ranked[-1].rank if same else _next_rank(ranked, neighbour)))
    return ranked


def _next_rank(ranked: Sequence[Neighbour], neighbour: Neighbour) -> int:
    if not ranked:
        return 1
    return ranked[-1].rank + 1 if neighbour.report_id is not None else len(ranked) + 1
