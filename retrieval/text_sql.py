"""The statement behind text search: one lookup a term, then what each report says of each unit.

hit       a sentence that has a term (weight > 0), or that says the contrary of its unit
said      a sentence's share of a unit: the weights of the terms that stand in it together
unit      a report's best share of a unit, how surely and prominently it says it, and how near the words are
covered   all units of a report together
quote     which of the question's sentences stand in a report
"""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Float, Subquery, column, text

from encoders.sentences import SEARCHED_SECTIONS
from retrieval.stems import quoted
from retrieval.text_query import Term, TextQuery, Unit

SAYS_ALL = 0.6
"""`match` of a report that says everything asked, however faintly; one that says less has less."""
SILENT = 0.4
"""Of a unit that is asked to be absent, in a report that says nothing of it."""
TRACE = 0.3
"""Of a finding of which a report has a trace only."""
ENOUGH = 2000
"""Sentences: a term that has more is common, however many more."""
_UNQUOTED = 0.97  # of `match`, where the words stand in no sentence that is the question's
_QUOTED = 0.99  # where they do, but with another spelling or punctuation; 1 where it is the same
_SHORTEST_SENTENCE = 4  # words: fewer may stand in any report, and only order those that say the same
_MOST_SENTENCES = 12  # of a question that are looked for as they stand
_LESS_SURE = {"hedged": 0.5, "unsure wording": 0.8}

_SAMPLES = tuple(f" AND section = '{section}' LIMIT {ENOUGH}" for section in SEARCHED_SECTIONS)

_SAID = """
SELECT unit, report_id, section, ordinal, sum(weight) AS share, min(sure) AS sure, max(near) AS near
FROM hit WHERE weight > 0 GROUP BY unit, report_id, section, ordinal
"""
# The impression weighs more than the findings, and what is said there and there more than either.
_UNIT = """
SELECT unit, report_id, max(share) AS share, false AS contrary, max(near * share) AS near,
    0.5 * coalesce(max(share * sure) FILTER (WHERE section = 'impression'), 0)
    + 0.35 * coalesce(max(share * sure) FILTER (WHERE section = 'findings'), 0)
    + 0.05 * least(count(*), 3) AS strength
FROM said GROUP BY unit, report_id
UNION ALL
SELECT DISTINCT unit, report_id, 0.0::float8, true, 0.0::float8, 0.0::float8 FROM hit WHERE weight < 0
"""
# What is asked to be absent may not be affirmed anywhere; what is asked for may be denied elsewhere (of
# another side, or lobe) unless there is no more than a trace of it.
_VERDICT = """
SELECT unit.report_id, weight, denied, max(near) AS near, max(strength) AS strength,
    CASE WHEN bool_or(contrary) AND (denied OR max(share) < 0.5) THEN -1.0 ELSE max(share) END AS share
FROM unit JOIN wanted ON wanted.number = unit.unit GROUP BY unit.report_id, weight, denied, wanted.number
"""
_MATCH = (
    f"CASE WHEN covered > 0.999 THEN {SAYS_ALL} + {1 - SAYS_ALL} * (0.4 * strength + 0.6 * near) "
    f"ELSE {SAYS_ALL - 0.01} * greatest(0, coalesce(0.9 * covered + 0.1 * strength, 0)) END"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL and its parameters."""

    sql: str
    parameters: dict[str, Any]

    def scored(self) -> Subquery:
        """A statement of (report_id, match) as a table that can be joined."""
        typed = text(self.sql).bindparams(**self.parameters)
        return typed.columns(column("report_id", BigInteger), column("match", Float)).subquery("scored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Of each unit and of each of its terms, by how rare they are; the terms of a unit add up to 1."""

    units: tuple[float, ...]
    terms: tuple[tuple[float, ...], ...]


class _Parameters(dict[str, Any]):
    """Values by the names that stand for them in a statement."""

    def bind(self, value: Any) -> str:
        """Return what stands for a value."""
        name = f"given_{len(self)}"
        self[name] = value
        return f":{name}"

    def matches(self, column_name: str, tsquery: str) -> str:
        """Return the condition that words of a column match a tsquery."""
        return f"{column_name} @@ CAST({self.bind(tsquery)} AS tsquery)"


def count_statement(query: TextQuery) -> Statement:
    """Count the sentences that have each term, up to ENOUGH: rows (unit, term, count); (-1, -1): reports."""
    given = _Parameters()
    lookups = [
        f"SELECT {number}, {place}, count(*) FROM (SELECT FROM report_sentence "  # noqa: S608 - numbers
        f"WHERE {given.matches(_column(unit), term.said)} LIMIT {ENOUGH})"
        for number, unit in enumerate(query.units)
        for place, term in enumerate(unit.terms)
    ]
    lookups.append("SELECT -1, -1, count(*) FROM report")
    return Statement(sql=" UNION ALL ".join(lookups), parameters=given)


def score_statement(
    query: TextQuery,
    weights: Weights,
    *,
    traces: bool = True,
    sample: bool = False,
    of_reports: list[int] | None = None,
) -> Statement:
    """Score every report that says something of a question, or all that is said in the reports given.

    Args:
        query: the question, with at least one unit.
        weights: of its units and terms.
        traces: whether reports with no more than a trace of a finding are looked for.
        sample: look at ENOUGH sentences a term, in the order they are stored, of each section: all reports
            that say a common finding alike are as good as each other.
        of_reports: only these, and then also those that say the contrary of what is asked for.
    """
    given = _Parameters()
    within = "" if of_reports is None else f" AND report_id = ANY({given.bind(of_reports)})"
    hits = [
        f"(SELECT {number} AS unit, report_id, section, ordinal, {hit.weight:.6f}::float8 AS weight, "  # noqa: S608
        f"{hit.sure}::float8 AS sure, {_near(query, unit, given)} AS near "
        f"FROM report_sentence WHERE {hit.where}{within}{part})"
        for number, unit in enumerate(query.units)
        for hit in (
            *_hits(unit, weights.terms[number], given, traces=traces),
            *(_contrary(unit, given) if of_reports is not None or (unit.denied and not sample) else ()),
        )
        for part in (_SAMPLES if sample else ("",))
    ]
    quote, whole = _quote(query, given, within)
    steps = {
        "hit": " UNION ALL ".join(hits),
        "said": _SAID,
        "unit": _UNIT,
        "wanted (number, weight, denied)": _wanted(query, weights),
        "verdict": _VERDICT,
        "covered": _covered(query, weights),
        "quote": quote,
    }
    return Statement(
        sql=f"WITH {', '.join(f'{name} AS ({step})' for name, step in steps.items())} "  # noqa: S608
        f"SELECT report_id, round(100 * ({_final(whole)})) / 100 AS match "
        "FROM covered FULL JOIN quote USING (report_id)",
        parameters=given,
    )


@dataclass(frozen=True, slots=True)
class _Hit:
    where: str
    weight: float
    sure: str = "1.0"


def _column(unit: Unit) -> str:
    return "denial" if unit.denied else "said"


def _hits(unit: Unit, weights: tuple[float, ...], given: _Parameters, *, traces: bool) -> list[_Hit]:
    """Return the lookups of what a unit asks for."""
    found = []
    for term, weight in zip(unit.terms, weights, strict=True):
        if unit.denied:
            found.append(_Hit(given.matches("denial", term.said), weight))
            if term.ruled_out_by:
                found.append(_Hit(given.matches("said", term.ruled_out_by), weight))
            continue
        found.append(_Hit(given.matches("said", term.said), weight, _sure(term, given)))
        if traces and term.traces:
            only = f"{given.matches('said', term.traces)} AND NOT ({given.matches('said', term.said)})"
            found.append(_Hit(only, weight * TRACE, str(_LESS_SURE["hedged"])))
    return found


def _contrary(unit: Unit, given: _Parameters) -> list[_Hit]:
    """Return the lookups of what speaks against a unit: all of its words with the other polarity."""
    other = "said" if unit.denied else "denial"
    found = [_Hit(" AND ".join(given.matches(other, term.said) for term in unit.terms), -1.0)]
    if unit.denied:
        found += [_Hit(given.matches("said", term.traces), -1.0) for term in unit.terms if term.traces]
    return found


def _sure(term: Term, given: _Parameters) -> str:
    """Return SQL for how sure a sentence is: less where it leaves a term open, or words it loosely."""
    affirmed = f"hedged = '' OR {given.matches('said', _only_affirmed(term.said))}"
    sure = f"CASE WHEN {affirmed} THEN 1.0 ELSE {_LESS_SURE['hedged']} END"
    if term.surest:
        surest = given.matches("said", term.surest)
        sure += f" * CASE WHEN {surest} THEN 1.0 ELSE {_LESS_SURE['unsure wording']} END"
    return f"({sure})"


def _only_affirmed(tsquery: str) -> str:
    """Return a tsquery that takes words with weight A alone, those affirmed; what it bars stays barred."""
    return re.sub(r"(!?)('(?:[^']|'')*')", lambda one: one[0] if one[1] else f"{one[2]}:A", tsquery)


def _near(query: TextQuery, unit: Unit, given: _Parameters) -> str:
    """Return SQL for the share of the question's other words that stand in the sentence."""
    if not query.stems:
        return "1.0::float8"
    here = " + ".join(f"({given.matches(_column(unit), quoted(stem))})::int" for stem in query.stems)
    return f"({here})::float8 / {len(query.stems)}"


def _wanted(query: TextQuery, weights: Weights) -> str:
    rows = zip(query.units, weights.units, strict=True)
    listed = (
        f"({number}, {weight:.6f}::float8, {unit.denied})" for number, (unit, weight) in enumerate(rows)
    )
    return f"VALUES {', '.join(listed)}"


def _covered(query: TextQuery, weights: Weights) -> str:
    """Return SQL that adds up the units; those asked to be absent count for something in silent reports."""
    denied = sum(weight for unit, weight in zip(query.units, weights.units, strict=True) if unit.denied)
    silent = f"{SILENT} * ({denied:.6f} - coalesce(sum(weight) FILTER (WHERE denied), 0))"
    return (
        f"SELECT report_id, sum(weight * share) + {silent} AS covered, "  # noqa: S608 - numbers
        "sum(weight * strength) AS strength, sum(weight * near) AS near FROM verdict GROUP BY report_id"
    )


def _quote(query: TextQuery, given: _Parameters, within: str) -> tuple[str, bool]:
    """Return SQL for the share of the question's sentences a report has, and whether any is long enough."""
    whole = [one for one in query.sentences if one.said.length >= _SHORTEST_SENTENCE]
    sentence = "rtrim({}, ' .;,')"
    lookups = [
        f"SELECT report_id, max(({sentence.format('text')} = {sentence.format(given.bind(one.text))})::int) "  # noqa: S608
        f"AS same FROM report_sentence WHERE fingerprint = {given.bind(one.said.fingerprint)}{within} "
        "GROUP BY report_id"
        for one in (whole or query.sentences)[:_MOST_SENTENCES]
    ]
    quote = (
        f"SELECT report_id, count(*)::float8 / {len(lookups)} AS quoted, "  # noqa: S608
        f"sum(same)::float8 / {len(lookups)} AS same "
        f"FROM ({' UNION ALL '.join(lookups)}) GROUP BY report_id"
    )
    return quote, bool(whole)


def _final(whole: bool) -> str:
    """Return SQL for `match`: a sentence that stands in a report outdoes all that share its words."""
    quoted_share, same_share = "coalesce(quoted, 0)", "coalesce(same, 0)"
    if whole:
        match = f"(1 - {quoted_share}) * {_UNQUOTED} * {_MATCH} + {_QUOTED} * {quoted_share}"
    else:
        match = f"{_UNQUOTED} * {_MATCH} + {(_QUOTED - _UNQUOTED) / 2:.2f} * {quoted_share}"
    match += f" + {1 - _QUOTED:.2f} * {same_share}"
    return f"CASE WHEN {quoted_share} = 0 AND covered < 0 THEN covered ELSE {match} END"
