"""The statement behind text search: one lookup a term, then what each report says of each unit.

hit       a sentence that has a term (weight > 0), or that says the contrary of its unit
said      a sentence's share of a unit: the weights of the terms that stand in it together
unit      a report's best share of a unit, how surely and prominently it says it, and how near the words are
scored    `match`, see `MATCH`
"""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Float, Subquery, column, text

from retrieval.text_query import TextQuery, Unit, quoted

SAYS_ALL = 0.6
"""`match` of a report that says everything asked, however faintly; one that says less has less."""
SILENT = 0.4
"""Of a unit that is asked to be absent, in a report that says nothing of it."""
TRACE = 0.3
"""Of a finding of which a report has a trace only."""
_SHORTEST_SENTENCE = 4  # words: fewer may stand in any report
_UNQUOTED = 0.97  # of `match`, where the words stand in no sentence that is the question's
_QUOTED = 0.99  # where they do, but with another spelling or punctuation; 1 where it is the same
_MOST_SENTENCES = 12  # of a question that are looked for as they stand

# Of what is said: the impression weighs more than the findings, what is certain twice what is only possible.
_UNIT = """
SELECT unit, report_id, max(share) AS share, false AS contrary, max(near * share) AS near,
    0.5 * coalesce(max(share * sure) FILTER (WHERE section = 'impression'), 0)
    + 0.35 * coalesce(max(share * sure) FILTER (WHERE section = 'findings'), 0)
    + 0.05 * least(count(*), 3) AS strength
FROM said GROUP BY unit, report_id
"""
_SAID = """
SELECT unit, report_id, section, ordinal, sum(weight) AS share, min(sure) AS sure, max(near) AS near
FROM hit WHERE weight > 0 GROUP BY unit, report_id, section, ordinal
"""
_CONTRARY = """
SELECT DISTINCT unit, report_id, 0.0::float8, true, 0.0::float8, 0.0::float8 FROM hit WHERE weight < 0
"""
# What is asked to be absent may not be affirmed anywhere; what is asked for may be denied elsewhere (of
# another side, or lobe) unless there is no more than a trace of it.
_VERDICT = """
SELECT unit.report_id, weight, denied, max(near) AS near, max(strength) AS strength,
    CASE WHEN bool_or(contrary) AND (denied OR max(share) < 0.5) THEN -1.0 ELSE max(share) END AS share
FROM unit JOIN wanted ON wanted.number = unit.unit GROUP BY unit.report_id, weight, denied, wanted.number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL that yields (report_id, match), and its parameters."""

    sql: str
    parameters: dict[str, Any]

    def scored(self) -> Subquery:
        """The statement as a table that can be joined."""
        return (
            text(self.sql)
            .bindparams(**self.parameters)
            .columns(column("report_id", BigInteger), column("match", Float))
            .subquery("scored")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Of each unit and of each of its terms, by how rare they are; the terms of a unit add up to 1."""

    units: tuple[float, ...]
    terms: tuple[tuple[float, ...], ...]


def count_statement(query: TextQuery) -> Statement:
    """Count the sentences that have each term: rows (unit, term, count), with one more for all reports."""
    lookups, parameters = [], {}
    for unit_number, unit in enumerate(query.units):
        for number, term in enumerate(unit.terms):
            name = f"count_{unit_number}_{number}"
            parameters[name] = term.said
            lookups.append(
                f"SELECT {unit_number}, {number}, count(*) FROM report_sentence "  # noqa: S608 - numbers
                f"WHERE {_column(unit)} @@ CAST(:{name} AS tsquery)"
            )
    lookups.append("SELECT -1, -1, count(*) FROM report")
    return Statement(sql=" UNION ALL ".join(lookups), parameters=parameters)


def score_statement(query: TextQuery, weights: Weights, *, of_reports: list[int] | None = None) -> Statement:
    """Score every report that says something of a question, or all that is said in the reports given.

    Args:
        query: the question, with at least one unit.
        weights: of its units and terms.
        of_reports: only these, and then also those that say the contrary of what is asked for.
    """
    parameters: dict[str, Any] = {}
    hits = [
        hit
        for number, unit in enumerate(query.units)
        for hit in _hits(query, unit, number, weights.terms[number], parameters, of_reports is not None)
    ]
    for number, stem in enumerate(query.stems):
        parameters[f"stem_{number}"] = quoted(stem)
    if of_reports is not None:
        parameters["reports"] = of_reports
    wanted = ", ".join(
        f"({number}, {weight:.6f}::float8, {unit.denied})"
        for number, (unit, weight) in enumerate(zip(query.units, weights.units, strict=True))
    )
    silent = sum(weight for unit, weight in zip(query.units, weights.units, strict=True) if unit.denied)
    covered = (
        f"sum(weight * share) + {SILENT} * ({silent:.6f} - coalesce(sum(weight) FILTER (WHERE denied), 0))"
    )
    exact, whole = _exact(query, parameters)
    scored = (
        f"SELECT report_id, {covered} AS covered, sum(weight * strength) AS strength, "  # noqa: S608
        "sum(weight * near) AS near FROM verdict GROUP BY report_id"
    )
    quoted_share, same_share = "coalesce(exact.quoted, 0)", "coalesce(exact.same, 0)"
    if whole:
        match = f"(1 - {quoted_share}) * {_UNQUOTED} * {_MATCH} + {_QUOTED} * {quoted_share}"
    else:
        match = f"{_UNQUOTED} * {_MATCH} + {round(_QUOTED - _UNQUOTED, 2) / 2} * {quoted_share}"
    match += f" + {round(1 - _QUOTED, 2)} * {same_share}"
    match = f"CASE WHEN {quoted_share} = 0 AND covered < 0 THEN covered ELSE {match} END"
    steps = {
        "hit": " UNION ALL ".join(hits),
        "said": _SAID,
        "unit": f"{_UNIT} UNION ALL {_CONTRARY}",
        "wanted (number, weight, denied)": f"VALUES {wanted}",
        "verdict": _VERDICT,
        "covered": scored,
        "exact": exact,
    }
    return Statement(
        sql=f"WITH {', '.join(f'{name} AS ({step})' for name, step in steps.items())} "  # noqa: S608
        f"SELECT report_id, round(({match})::numeric, 2)::float8 AS match "
        "FROM covered FULL JOIN exact USING (report_id)",
        parameters=parameters,
    )


_MATCH = (
    f"CASE WHEN covered > 0.999 THEN {SAYS_ALL} + {1 - SAYS_ALL} * (0.4 * strength + 0.6 * near) "
    f"ELSE {SAYS_ALL - 0.01} * greatest(0, coalesce(0.9 * covered + 0.1 * strength, 0)) END"
)


def _column(unit: Unit) -> str:
    return "denial" if unit.denied else "said"


def _hits(
    query: TextQuery,
    unit: Unit,
    number: int,
    weights: tuple[float, ...],
    parameters: dict[str, Any],
    restricted: bool,
) -> list[str]:
    """Return the lookups of a unit; parameters are added to those given."""
    found: list[str] = []
    within = " AND report_id = ANY(:reports)" if restricted else ""

    def look(where: str, weight: float, sure: str = "1.0") -> None:
        found.append(
            f"SELECT {number} AS unit, report_id, section, ordinal, {weight:.6f}::float8 AS weight, "  # noqa: S608
            f"{sure}::float8 AS sure, {_near(query, unit)} AS near FROM report_sentence WHERE {where}{within}"
        )

    for place, (term, weight) in enumerate(zip(unit.terms, weights, strict=True)):
        name = f"term_{number}_{place}"
        parameters[name] = term.said
        here = f"{{}} @@ CAST(:{name} AS tsquery)"
        if term.traces:
            parameters[f"{name}_traces"] = term.traces
        if unit.denied:
            look(here.format("denial"), weight)
            if term.ruled_out_by:
                parameters[f"{name}_ruled_out"] = term.ruled_out_by
                look(f"said @@ CAST(:{name}_ruled_out AS tsquery)", weight)
        else:
            parameters[f"{name}_sure"] = sure_only(term.said)
            sure = f"CASE WHEN said @@ CAST(:{name}_sure AS tsquery) THEN 1.0 ELSE 0.5 END"
            if term.surest:
                parameters[f"{name}_surest"] = sure_only(term.surest)
                sure = f"{sure} * CASE WHEN said @@ CAST(:{name}_surest AS tsquery) THEN 1.0 ELSE 0.8 END"
            sure = f"({sure})"
            look(here.format("said"), weight, sure)
            if term.traces:
                traced = f"said @@ CAST(:{name}_traces AS tsquery) AND NOT ({here.format('said')})"
                look(traced, weight * TRACE, "0.5")
    if unit.denied or restricted:
        other = "said" if unit.denied else "denial"
        every = " AND ".join(
            f"{other} @@ CAST(:term_{number}_{place} AS tsquery)" for place in range(len(unit.terms))
        )
        look(every, -1.0)
        if unit.denied and unit.terms[0].traces:
            look(f"said @@ CAST(:term_{number}_0_traces AS tsquery)", -1.0)
    return found


def sure_only(tsquery: str) -> str:
    """Return a tsquery that takes only words that are affirmed, not those in doubt."""
    return "".join(
        part + (":A" if inside and not before.endswith("!") else "")
        for part, inside, before in _lexemes(tsquery)
    )


def _lexemes(tsquery: str) -> list[tuple[str, bool, str]]:
    """Cut a tsquery at its quoted lexemes: (text, whether it is one, what stands before it)."""
    pieces = re.split(r"('(?:[^']|'')*')", tsquery)
    return [
        (piece, number % 2 == 1, pieces[number - 1] if number else "") for number, piece in enumerate(pieces)
    ]


def _near(query: TextQuery, unit: Unit) -> str:
    """Return SQL for the share of the question's other words that stand in the sentence."""
    if not query.stems:
        return "1.0::float8"
    here = " + ".join(
        f"({_column(unit)} @@ CAST(:stem_{number} AS tsquery))::int" for number in range(len(query.stems))
    )
    return f"({here})::float8 / {len(query.stems)}"


def _exact(query: TextQuery, parameters: dict[str, Any]) -> tuple[str, bool]:
    """Return SQL for the share of the question's sentences that a report has, and whether any is long enough.

    A sentence finds the reports that have it before any that share its words. Words too few to be a sentence
    only order reports that say the same.
    """
    whole = [
        (raw, said)
        for raw, said in query.sentences
        if len(f"{said.affirmed} {said.hedged} {said.denied}".split()) >= _SHORTEST_SENTENCE
    ]
    lookups = []
    for number, (raw, said) in enumerate((whole or query.sentences)[:_MOST_SENTENCES]):
        parts = {"affirmed": said.affirmed, "hedged": said.hedged, "denied": said.denied}
        parameters.update(
            {f"{part}_{number}": words for part, words in parts.items()} | {f"raw_{number}": raw}
        )
        conditions = [f"{part} = :{part}_{number}" for part in parts]
        if said.affirmed or said.hedged:
            parameters[f"said_{number}"] = f"{said.affirmed} {said.hedged}"
            conditions.append(f"said @@ plainto_tsquery('radiology', :said_{number})")
        if said.denied:
            conditions.append(f"denial @@ plainto_tsquery('radiology', :denied_{number})")
        same = f"(rtrim(text, ' .;,') = rtrim(:raw_{number}, ' .;,'))::int"
        lookups.append(
            f"SELECT report_id, max({same}) AS same FROM report_sentence "  # noqa: S608
            f"WHERE {' AND '.join(conditions)} GROUP BY report_id"
        )
    exact = (
        f"SELECT report_id, count(*)::float8 / {len(lookups)} AS quoted, "  # noqa: S608
        f"sum(same)::float8 / {len(lookups)} AS same "
        f"FROM ({' UNION ALL '.join(lookups)}) GROUP BY report_id"
    )
    return exact, bool(whole)
