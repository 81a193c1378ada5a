"""Which sentences of a hit's report say what the question asks, or speak against it."""

from collections.abc import Collection, Iterable, Sequence
from functools import reduce
from operator import add

from sqlalchemy import ColumnElement, Float, Integer, cast, literal, or_, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute

from retrieval.neighbours import among
from retrieval.schema import ReportSentence
from retrieval.stems import quoted
from retrieval.text_query import TextQuery, Unit
from retrieval.text_sql import TRACE

_SHOWN = 2  # sentences a hit
_SHARE_OF_BEST = 0.5  # a second sentence is shown if it matches at least half as well as the first
_NEAR = 0.3  # of all the words that tell findings apart, beside a unit's 1


def matched_sentences(
    connection: Connection, report_ids: Collection[int], query: TextQuery
) -> dict[int, tuple[str, ...]]:
    """Return at most two sentences for each report, best first; reports that say nothing of it are left out.

    A sentence that denies what the question affirms (or the reverse) is shown only where no other matches.
    """
    if not query.units or not report_ids:
        return {}
    says = _sum(_said(unit, against=False) for unit in query.units)
    opposes = _sum(_said(unit, against=True) for unit in query.units)
    near = _sum(
        cast(or_(*(_matches(column, quoted(stem)) for column in _COLUMNS)), Integer) for stem in query.stems
    )
    opposite = says == 0
    score = (says + opposes * cast(opposite, Integer)) + _NEAR * near / max(1, len(query.stems))
    rows = (
        select(ReportSentence.report_id, ReportSentence.text, opposite, score)
        .where(among(ReportSentence.report_id, report_ids), or_(says > 0, opposes > 0))
        .order_by(
            ReportSentence.report_id,
            opposite,
            score.desc(),
            ReportSentence.section.desc(),  # the impression before the findings
            ReportSentence.ordinal,
        )
    )
    matches: dict[int, list[tuple[str, bool, float]]] = {}
    for report_id, text, against, value in connection.execute(rows):
        matches.setdefault(report_id, []).append((text, against, value))
    return {report_id: _best(found) for report_id, found in matches.items()}


_COLUMNS = (ReportSentence.said, ReportSentence.denial)


def _said(unit: Unit, *, against: bool) -> ColumnElement[float]:
    """Return the share of a unit's terms that a sentence has, or has with the other polarity."""
    column = ReportSentence.denial if unit.denied != against else ReportSentence.said
    terms = _sum(cast(_matches(column, term.said), Integer) for term in unit.terms)
    traces = [_matches(column, term.traces) for term in unit.terms if term.traces and not unit.denied]
    share = terms / float(len(unit.terms))
    return share + TRACE * (1 - share) * cast(or_(*traces), Integer) if traces and not against else share


def _matches(column: InstrumentedAttribute[str], tsquery: str) -> ColumnElement[bool]:
    return column.op("@@", is_comparison=True)(cast(tsquery, TSQUERY))


def _sum(values: Iterable[ColumnElement[int] | ColumnElement[float]]) -> ColumnElement[float]:
    zero: ColumnElement[float] = cast(literal(0), Float)
    return reduce(add, values, zero)


def _best(found: Sequence[tuple[str, bool, float]]) -> tuple[str, ...]:
    _, against, best = found[0]
    texts = (text for text, other, score in found if other == against and score >= best * _SHARE_OF_BEST)
    return tuple(dict.fromkeys(texts))[:_SHOWN]
