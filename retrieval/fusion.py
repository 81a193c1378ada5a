"""One ranking out of several whose scores may not be compared.

Volume latents and report latents lie apart in the space they share (the modality gap), so a cosine with one
kind says nothing beside a cosine with the other; ranks do.
"""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.neighbours import Neighbour, Unit

_RANK_OFFSET = 60  # Cormack, Clarke and Büttcher, SIGIR 2009
FUSION_DEPTH = 1000
"""How far down a ranking counts: a study that is further down than this and than `k` gets nothing from it."""


def fuse(rankings: Sequence[Sequence[Neighbour]], unit: Unit) -> list[Neighbour]:
    """Merge rankings by reciprocal rank; a single one is returned as it is, scores and all.

    score = mean over the rankings of (60 + 1) / (60 + rank), nothing where a row is missing from one: 1.0 is
    the first of every ranking.

    Args:
        rankings: each best first.
        unit: what is one row: a study, or each of its volumes.

    Returns:
        Best first, ties by name; a row shows the volume and the report of the first ranking that has one.

    Source:
        Reciprocal rank fusion, Cormack, Clarke and Büttcher, SIGIR 2009, scaled.
    """
    if len(rankings) == 1:
        return list(rankings[0])
    fused: dict[tuple[int, int | None], Neighbour] = {}
    for ranking in rankings:
        for neighbour in ranking:
            key = (neighbour.study_id, neighbour.volume_id if unit == "volume" else None)
            share = (_RANK_OFFSET + 1) / (_RANK_OFFSET + neighbour.rank) / len(rankings)
            known = fused.get(key)
            fused[key] = (
                replace(neighbour, score=share) if known is None else _joined(known, neighbour, share)
            )
    ordered = sorted(fused.values(), key=lambda neighbour: neighbour.order)
    return [replace(neighbour, rank=rank) for rank, neighbour in enumerate(ordered, start=1)]


def _joined(known: Neighbour, other: Neighbour, share: float) -> Neighbour:
    shown = known if known.volume_id is not None else other
    return replace(
        known,
        volume_id=shown.volume_id,
        volume=shown.volume,
        report_id=known.report_id if known.report_id is not None else other.report_id,
        score=known.score + share,
    )
