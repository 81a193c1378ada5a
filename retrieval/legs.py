"""The legs of a search: what reports say, their latents, and latents of volumes; which are asked, and how.

A volume asks volume latents, and report latents only where a collection has no others. Words ask all three.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.fusion import FUSION_DEPTH, LegName, LegPlace, fuse, fuse_with_text, places
from retrieval.named_cases import LatentKind
from retrieval.neighbours import Gallery, Neighbour
from retrieval.text_query import TextQuery
from retrieval.text_search import TextLeg

_DEEPER = 100  # rows of text beyond those wanted: of equals, latents choose
_LIKELIEST = 200  # rows by latents whose reports are looked at first


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """Rows, best first; the place of each in every leg; and how that came about, a sentence each."""

    neighbours: tuple[Neighbour, ...]
    places: tuple[dict[LegName, LegPlace | None], ...]
    explanation: tuple[str, ...]
    exact: bool = True  # whether the text leg looked at every report that could come first


def latents_asked(
    held: Sequence[LatentKind], asked_by: LatentKind, chosen: Sequence[LegName]
) -> tuple[LatentKind, ...]:
    """Return the kinds of latent that a question is compared with.

    Args:
        held: what the collection has.
        asked_by: what the question's latent is of.
        chosen: legs asked for by name; none stands for all that there are.

    Raises:
        SearchError: a leg asked for by name cannot answer.
    """
    if asked_by == "volume" and "text" in chosen:
        raise SearchError("a volume has no words: leave --leg text out, or ask with --text")
    missing = [leg for leg in chosen if leg != "text" and leg not in held]
    if missing:
        has = " and ".join(f"{kind} latents" for kind in held) or "no latents"
        raise SearchError(f"the collection has no {missing[0]} latents to search: it has {has}")
    if chosen:
        return tuple(kind for kind in held if kind in chosen)
    return ("volume",) if asked_by == "volume" and "volume" in held else tuple(held)


def fuse_legs(
    connection: Connection,
    gallery: Gallery,
    rankings: Mapping[LatentKind, Sequence[Neighbour]],
    query: TextQuery | None,
    limit: int,
    *,
    words_decide: bool = True,
) -> Fused:
    """Rank by text, if words are asked, and fuse with the rankings by latents.

    Args:
        connection: in the transaction that ranked the latents.
        gallery: what may be found.
        rankings: by kind of latent.
        query: what the words ask for; None where they are not to be searched for.
        limit: how many rows.
        words_decide: whether what reports say comes before what latents make likely, or is one vote of all.
    """
    legs: dict[LegName, Sequence[Neighbour]] = dict(rankings.items())
    if query is None or not query.units:
        rows = fuse(list(rankings.values()), gallery.unit)[:limit]
        return Fused(
            neighbours=tuple(rows),
            places=tuple(places(legs if query is None else {"text": [], **legs}, rows, gallery.unit)),
            explanation=_how(rankings, with_text=False),
        )
    start = time.perf_counter()
    leg = TextLeg(connection, query)
    if words_decide or not rankings:
        said = leg.rank(gallery, limit + _DEEPER)
        known = _studies(said)
        likely = [row for row in fuse(list(rankings.values()), gallery.unit) if row.study_id not in known]
        verdicts = _verdicts(leg, likely, limit - len(said))
        rows = fuse_with_text(said, list(rankings.values()), gallery.unit, verdicts)
    else:
        said = leg.rank(gallery, max(limit, FUSION_DEPTH))
        rows = fuse([said, *rankings.values()], gallery.unit)
    took_ms = (time.perf_counter() - start) * 1000
    rows = rows[:limit]
    asked = ", ".join(f"{'no ' if unit.denied else ''}{unit.name}" for unit in query.units)
    text = f"text: {len(said):,} rows whose reports say {asked}, or some of it, in {took_ms:.1f} ms"
    if not leg.exact:
        text += "; very many say it, so the best of a sample"
    return Fused(
        neighbours=tuple(rows),
        places=tuple(places({"text": said, **legs}, rows, gallery.unit)),
        explanation=(text, *_how(rankings, with_text=True, words_decide=words_decide)),
        exact=leg.exact,
    )


def _studies(rows: Sequence[Neighbour]) -> set[int]:
    return {row.study_id for row in rows}


def _verdicts(leg: TextLeg, likely: Sequence[Neighbour], missing: int) -> dict[int, float]:
    """Ask what the reports of the likeliest say: of as many that enough do not say the contrary.

    Args:
        leg: of the question.
        likely: what latents found, best first; the text leg has not returned it.
        missing: how many rows the text leg fell short of.
    """
    verdicts: dict[int, float] = {}
    start, block, left = 0, _LIKELIEST, missing
    while start < len(likely) and (start == 0 or left > 0):
        asked = likely[start : start + block]
        verdicts |= leg.verdicts(_studies(asked))
        left -= sum(verdicts.get(row.study_id, 0.0) >= 0 for row in asked)
        start, block = start + block, 2 * block
    return verdicts | {row.study_id: -1.0 for row in likely[start:]}


def _how(
    rankings: Mapping[LatentKind, Sequence[Neighbour]], *, with_text: bool, words_decide: bool = True
) -> tuple[str, ...]:
    if rankings and with_text and not words_decide:
        return (f"text and latents fused by reciprocal rank over the first {FUSION_DEPTH:,} of each",)
    lines = []
    if len(rankings) > 1:
        lines.append(f"latents fused by reciprocal rank over the first {FUSION_DEPTH:,} of each")
    if with_text and rankings:
        lines.append("what reports say comes first; latents order those that say the same, and the rest")
    return tuple(lines)
