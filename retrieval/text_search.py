"""Full text: which reports say what a question asks, with the right polarity, by sentences in PostgreSQL.

Every term of a unit is one lookup in the index over what sentences affirm, or over what they deny. A sentence
has a share of a unit, by the inverse document frequencies of the terms it has; a report has the share of its
best sentence; `match` weighs the units and orders equals by how surely and how prominently it is said.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, cast, func, literal, or_, select, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.engine import Connection

from retrieval.filters import study_conditions, volume_conditions
from retrieval.neighbours import Gallery, Neighbour, among, matching_volumes, shown_volumes
from retrieval.schema import Report, ReportSentence, Study, Volume, embedding
from retrieval.text_query import TextQuery, Unit
from retrieval.text_sql import ENOUGH, SAYS_ALL, SILENT, Weights, count_statement, score_statement

_REPORTS = (-1, -1)  # the key of their number among the counts of terms
_LOOKED_AT = 20  # times as many reports as are wanted, where very many say it
_Row = Any  # study_id, study, dataset, report_id, match


class TextLeg:
    """A question ready to be put to the reports of an archive."""

    def __init__(self, connection: Connection, query: TextQuery) -> None:
        self._connection = connection
        self._query = query
        # Starting other processes takes longer than they save, and they are missing to whoever else asks.
        connection.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
        counts = _counts(connection, query)
        self._weights = _weights(query, counts, counts.pop(_REPORTS, 0))
        self._common = max(counts.values(), default=0) >= ENOUGH
        self.exact = True  # whether no report says it better than one that was ranked

    def rank(self, gallery: Gallery, limit: int) -> list[Neighbour]:
        """Rank the reports of a gallery by how much of the question they say.

        Args:
            gallery: what may be found; reports that no collection has a latent of belong to every collection.
            limit: how many rows at most.

        Returns:
            Neighbours with `match` as score, in (0, 1]; equals share a rank. For absences: reports that deny
            the finding, then those that do not mention it; never those that affirm it.
        """
        if not self._query.units:
            return []
        rows = self._saying(gallery, limit)
        if self._query.only_denies and len(rows) < limit:
            rows += self._silent(gallery, [row.report_id for row in rows], limit - len(rows))
        return _neighbours(self._connection, gallery, rows, limit)

    def verdicts(self, study_ids: Iterable[int]) -> dict[int, float]:
        """Return what the reports of studies say: `match`, or less than 0 if they say the contrary.

        Studies whose reports say nothing of it, or that have none, are left out.
        """
        if not self._query.units:
            return {}
        reports = select(Report.id).where(among(Report.study_id, study_ids))
        statement = score_statement(
            self._query, self._weights, of_reports=sorted(self._connection.scalars(reports))
        )
        scored = statement.scored()
        best = (
            select(Report.study_id, func.max(scored.c.match).label("match"))
            .join(scored, scored.c.report_id == Report.id)
            .group_by(Report.study_id)
        )
        return {row.study_id: row.match for row in self._connection.execute(best)}

    def _saying(self, gallery: Gallery, limit: int) -> list[_Row]:
        """Look closely at the best of many; at all, and at traces of findings too, where too few match."""
        some = _LOOKED_AT * limit + len(gallery.excluded_studies)
        if self._common:
            sample = score_statement(self._query, self._weights, traces=False, sample=True).scored()
            best = select(sample.c.report_id).order_by(sample.c.match.desc(), sample.c.report_id).limit(some)
            chosen = sorted(self._connection.scalars(best))
            rows = self._first_of_studies(self._scored(of_reports=chosen), gallery, limit)
        else:
            rows = self._first_of_studies(self._scored(traces=False), gallery, limit)
        self.exact = not self._common or len(rows) < limit
        return rows if len(rows) >= limit else self._first_of_studies(self._scored(), gallery, limit)

    def _scored(self, *, traces: bool = True, of_reports: list[int] | None = None) -> Subquery:
        scored = score_statement(self._query, self._weights, traces=traces, of_reports=of_reports).scored()
        return select(scored).where(scored.c.match > 0).subquery("scored")

    def _first_of_studies(self, scored: Subquery, gallery: Gallery, limit: int) -> list[_Row]:
        place = func.row_number().over(
            partition_by=Report.study_id, order_by=(scored.c.match.desc(), Report.source_key.collate("C"))
        )
        best = (
            select(
                Study.id.label("study_id"),
                Study.name.label("study"),
                Study.dataset,
                Report.id.label("report_id"),
                scored.c.match,
                place.label("place"),
            )
            .join_from(scored, Report, Report.id == scored.c.report_id)
            .join(Study, Study.id == Report.study_id)
            .where(*_within(gallery))
            .subquery("best")
        )
        names = (best.c.study.collate("C"), best.c.dataset.collate("C"), best.c.study_id)
        rows = select(best).where(best.c.place == 1).order_by(best.c.match.desc(), *names).limit(limit)
        return list(self._connection.execute(rows))

    def _silent(self, gallery: Gallery, known: list[int], limit: int) -> list[_Row]:
        """Return reports that mention none of what is asked to be absent."""
        mentioned = select(ReportSentence.report_id).where(or_(*map(_mentions, self._query.units)))
        match = round((SAYS_ALL - 0.01) * 0.9 * SILENT, 2)
        rows = (
            select(
                Study.id.label("study_id"),
                Study.name.label("study"),
                Study.dataset,
                func.min(Report.id).label("report_id"),
                literal(match).label("match"),
            )
            .join_from(Report, Study, Study.id == Report.study_id)
            .where(Report.id.not_in(mentioned), ~among(Report.id, known), *_within(gallery))
            .group_by(Study.id)
            .order_by(Study.name.collate("C"), Study.dataset.collate("C"), Study.id)
            .limit(limit)
        )
        return list(self._connection.execute(rows))


def _counts(connection: Connection, query: TextQuery) -> dict[tuple[int, int], int]:
    """Count the sentences of each (unit, term), up to ENOUGH."""
    counted = count_statement(query)
    rows = connection.execute(text(counted.sql), counted.parameters)
    return {(unit, term): count for unit, term, count in rows}


def _weights(query: TextQuery, counts: Mapping[tuple[int, int], int], reports: int) -> Weights:
    """Weigh units and terms by how rare they are; a unit of words by its rarest.

    What is asked to be absent weighs no more than what is asked for beside it: of reports that say half,
    those with the finding come before those that only deny the other.
    """
    idf = [
        [math.log(2 + reports / max(1, counts.get((number, place), 0))) for place in range(len(unit.terms))]
        for number, unit in enumerate(query.units)
    ]
    rarest = [max(each) for each in idf]
    most = min(
        (value for value, unit in zip(rarest, query.units, strict=True) if not unit.denied), default=None
    )
    if most is not None:
        rarest = [
            min(value, most) if unit.denied else value
            for value, unit in zip(rarest, query.units, strict=True)
        ]
    return Weights(
        units=tuple(value / sum(rarest) for value in rarest),
        terms=tuple(tuple(value / sum(each) for value in each) for each in idf),
    )


def _within(gallery: Gallery) -> list[ColumnElement[bool]]:
    """Conditions on `Study`: filters, exclusions, and that its latents, if it has any, are not elsewhere."""
    within = study_conditions(gallery.filters)
    if gallery.excluded_studies:
        within.append(~among(Study.id, gallery.excluded_studies))
    if gallery.filters.on_volumes:
        within.append(Study.id.in_(select(Volume.study_id).where(*volume_conditions(gallery.filters))))
    mine = embedding.c.study_id == Study.id
    here = select(embedding.c.study_id).where(mine, embedding.c.collection_id == gallery.collection_id)
    anywhere = select(embedding.c.study_id).where(mine)
    within.append(or_(here.exists(), ~anywhere.exists()))
    return within


def _mentions(unit: Unit) -> ColumnElement[bool]:
    every = and_(*(_said(term.said) for term in unit.terms))
    return or_(every, *(_said(term.traces) for term in unit.terms if term.traces))


def _said(tsquery: str) -> ColumnElement[bool]:
    return ReportSentence.said.op("@@")(cast(tsquery, TSQUERY))


def _neighbours(
    connection: Connection, gallery: Gallery, rows: Sequence[_Row], limit: int
) -> list[Neighbour]:
    volumes = matching_volumes(connection, gallery, [row.study_id for row in rows])
    ranks: dict[float, int] = {}
    for place, row in enumerate(rows, start=1):
        ranks.setdefault(row.match, place)
    neighbours = [
        Neighbour(
            study_id=row.study_id,
            study=row.study,
            dataset=row.dataset,
            volume_id=volume_id,
            volume=volume,
            report_id=row.report_id,
            rank=ranks[row.match],
            score=row.match,
        )
        for row in rows
        for volume_id, volume in shown_volumes(volumes.get(row.study_id, []), gallery.unit)
    ]
    return neighbours[:limit]
