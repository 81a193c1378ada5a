"""One ranking out of several: latents by their ranks, and before them what reports say.

Volume latents and report latents lie apart in the space they share (the modality gap), so a cosine with one
kind says nothing beside a cosine with the other; ranks do: they are fused by reciprocal rank. What a report
says in words is another matter: it is right or wrong whatever a latent says, and a plain third vote would let
an encoder that knows nothing of the case put noise before it (docs/search.md has figures). So the text
leg's `match` decides first, in steps of 0.01, and latents order the reports of one step, the silent ones and
the cases without a report.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from retrieval.neighbours import Neighbour, Unit

_RANK_OFFSET = 60  # Cormack, Clarke and Büttcher, SIGIR 2009
FUSION_DEPTH = 1000
"""How far down a ranking counts: a study that is further down than this and than `k` gets nothing from it."""
TEXT_WEIGHT = 0.992
"""A step of `match` (0.01) is worth more than the best that latents can add: 0.992 / 100 > 1 - 0.992."""

LegName = Literal["text", "report", "volume"]
_Key = tuple[int, int | None]
_Scored = tuple[Neighbour, float]


@dataclass(frozen=True, slots=True)
class LegPlace:
    """Where a row stands in one ranking."""

    rank: int
    score: float  # inner product, or `match` of the text

    def to_json(self) -> dict[str, Any]:
        """One value of a hit's `legs`."""
        return {"rank": self.rank, "score": round(self.score, 6)}


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
    return _ranked(_reciprocal(rankings, unit).values())


def fuse_with_text(
    text: Sequence[Neighbour],
    rankings: Sequence[Sequence[Neighbour]],
    unit: Unit,
    verdicts: Mapping[int, float],
) -> list[Neighbour]:
    """Put what reports say before what latents make likely.

    score = 0.992 match + 0.008 l, with l the reciprocal-rank mean of the latents' rankings as in `fuse`; 1.0
    is a report that says all of it word for word and comes first in every other ranking. A case whose report
    says the contrary has score 0 and comes after all others. Without latents, the text's ranking stays.

    Args:
        text: neighbours with `match` as score.
        rankings: of latents, each best first.
        unit: what is one row.
        verdicts: `match` by study, less than 0 for the contrary, of rows that only latents found.

    Returns:
        Best first, ties by name.
    """
    if not rankings:
        return list(text)
    latents = _reciprocal(rankings, unit)
    fused: list[_Scored] = []
    for neighbour in text:
        other, share = latents.pop(_key(neighbour, unit), (neighbour, 0.0))
        # the reconstruction that latents found, the report that says it
        joined = _joined(replace(other, report_id=neighbour.report_id), neighbour)
        fused.append((joined, _score(neighbour.score, share)))
    against: list[_Scored] = []
    for neighbour, share in latents.values():
        match = verdicts.get(neighbour.study_id, 0.0)
        (against if match < 0 else fused).append((neighbour, _score(max(0.0, match), share)))
    last = [replace(neighbour, score=0.0) for neighbour in _ranked(against)]
    ordered = [*_ranked(fused), *last]
    return [
        neighbour if neighbour.rank == rank else replace(neighbour, rank=rank)
        for rank, neighbour in enumerate(ordered, start=1)
    ]


def places(
    rankings: Mapping[LegName, Sequence[Neighbour]], rows: Sequence[Neighbour], unit: Unit
) -> list[dict[LegName, LegPlace | None]]:
    """Return, for each row, its place in every ranking by name; None where it is not in it."""
    known = {
        leg: {
            _key(neighbour, unit): LegPlace(rank=neighbour.rank, score=neighbour.score)
            for neighbour in ranking
        }
        for leg, ranking in rankings.items()
    }
    return [{leg: found.get(_key(row, unit)) for leg, found in known.items()} for row in rows]


def _key(neighbour: Neighbour, unit: Unit) -> _Key:
    return neighbour.study_id, neighbour.volume_id if unit == "volume" else None


def _score(match: float, latents: float) -> float:
    return TEXT_WEIGHT * match + (1 - TEXT_WEIGHT) * latents


def _reciprocal(rankings: Sequence[Sequence[Neighbour]], unit: Unit) -> dict[_Key, _Scored]:
    fused: dict[_Key, _Scored] = {}
    for ranking in rankings:
        for neighbour in ranking:
            share = (_RANK_OFFSET + 1) / (_RANK_OFFSET + neighbour.rank) / len(rankings)
            key = _key(neighbour, unit)
            if key in fused:
                known, score = fused[key]
                fused[key] = (_joined(known, neighbour), score + share)
            else:
                fused[key] = (neighbour, share)
    return fused


def _ranked(fused: Iterable[_Scored]) -> list[Neighbour]:
    ordered = sorted(fused, key=lambda row: (-row[1], *row[0].order[1:]))
    return [replace(row, rank=rank, score=score) for rank, (row, score) in enumerate(ordered, start=1)]


def _joined(known: Neighbour, other: Neighbour) -> Neighbour:
    """Return a row with the volume and the report of the first that has one; as to the score, the first's."""
    shown = known if known.volume_id is not None else other
    return replace(
        known,
        volume_id=shown.volume_id,
        volume=shown.volume,
        report_id=known.report_id if known.report_id is not None else other.report_id,
    )
