"""How many studies each choice of a filter would leave: the figures beside a search's filters."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Label, Subquery, case, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute

from encoders.abnormalities import ABNORMALITIES
from retrieval.filters import Filters, label_columns, study_conditions, volume_conditions
from retrieval.label_bits import bits_of
from retrieval.schema import Label as StudyLabel
from retrieval.schema import Study, Volume

DECADE_YEARS = 10
_OLDEST_DECADE = 90  # de-identified sources pool 90 and more


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCount:
    """Studies known to have a finding, and known not to; the others are unknown."""

    finding: str
    present: int
    absent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeCount:
    """Studies with a volume whose patient is this old, `high` included; None is open."""

    low: int
    high: int | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """Counts of studies. Of sex, scanner, data set, split and age, as if that one were not filtered by."""

    studies: int  # that match all filters
    findings: tuple[FindingCount, ...]  # the 18, among these
    sex: Mapping[str, int]
    manufacturer: Mapping[str, int]  # the most frequent first, as are data sets
    dataset: Mapping[str, int]
    split: Mapping[str, int]
    age: tuple[AgeCount, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)


def count_facets(connection: Connection, filters: Filters) -> Facets:
    """Count the studies that each choice would leave.

    Args:
        connection: to the archive; one transaction that keeps its snapshot.
        filters: that are set already.
    """
    studies, findings = _findings(connection, filters)
    return Facets(
        studies=studies,
        findings=findings,
        sex=_by_volume(connection, replace(filters, sex=None), Volume.sex),
        manufacturer=_by_volume(connection, replace(filters, manufacturer=None), Volume.manufacturer),
        dataset=_by_study(connection, replace(filters, dataset=None), Study.dataset),
        split=_by_study(connection, replace(filters, split=None), Study.split),
        age=_ages(connection, replace(filters, age=None)),
    )


def count_studies(connection: Connection, filters: Filters) -> int:
    """Return how many studies match."""
    return connection.scalars(select(func.count()).select_from(Study).where(*_matching(filters))).one()


def _matching(filters: Filters) -> list[ColumnElement[bool]]:
    """Conditions on `Study`, those on its volumes among them."""
    conditions = study_conditions(filters)
    if filters.on_volumes:
        conditions.append(Study.id.in_(select(Volume.study_id).where(*volume_conditions(filters))))
    return conditions


def _findings(connection: Connection, filters: Filters) -> tuple[int, tuple[FindingCount, ...]]:
    known, present = label_columns(filters.label_source)
    absent = known.bitwise_and(present.bitwise_not())
    counts = [
        func.count().filter(column.bitwise_and(bits_of([finding])) != 0)
        for finding in ABNORMALITIES
        for column in (present, absent)
    ]
    row = connection.execute(
        select(func.count(), *counts)
        .select_from(Study)
        .outerjoin(StudyLabel, StudyLabel.study_id == Study.id)
        .where(*_matching(filters))
    ).one()
    pairs = zip(ABNORMALITIES, row[1::2], row[2::2], strict=True)
    return row[0], tuple(FindingCount(finding=name, present=has, absent=lacks) for name, has, lacks in pairs)


def _by_volume(
    connection: Connection, filters: Filters, column: InstrumentedAttribute[str | None]
) -> dict[str, int]:
    counted = _studies_of(column.label("value"), column.is_not(None), filters)
    count = func.count()
    rows = connection.execute(
        select(counted.c.value, count).group_by(counted.c.value).order_by(count.desc(), counted.c.value)
    )
    return {str(value): number for value, number in rows}


def _studies_of(value: Label[Any], known: ColumnElement[bool], filters: Filters) -> Subquery:
    """Each study once under each value that its volumes have: hashed; count(DISTINCT) would sort them."""
    rows = select(value, Volume.study_id).where(known, *_on_volumes(filters))
    return rows.distinct().subquery("counted")


def _ages(connection: Connection, filters: Filters) -> tuple[AgeCount, ...]:
    decade = func.floor(Volume.age_years / DECADE_YEARS) * DECADE_YEARS
    pooled = case((decade > _OLDEST_DECADE, _OLDEST_DECADE), else_=decade).label("value")
    counted = _studies_of(pooled, Volume.age_years.is_not(None), filters)
    rows = connection.execute(
        select(counted.c.value, func.count()).group_by(counted.c.value).order_by(counted.c.value)
    )
    return tuple(
        AgeCount(
            low=int(low), high=None if low == _OLDEST_DECADE else int(low) + DECADE_YEARS - 1, count=number
        )
        for low, number in rows
    )


def _by_study(
    connection: Connection,
    filters: Filters,
    column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None],
) -> dict[str, int]:
    count = func.count()
    rows = connection.execute(
        select(column, count)
        .where(column.is_not(None), *_matching(filters))
        .group_by(column)
        .order_by(count.desc(), column)
    )
    return {str(value): number for value, number in rows}


def _on_volumes(filters: Filters) -> list[ColumnElement[bool]]:
    studies = study_conditions(filters)
    conditions = list(volume_conditions(filters))
    if studies:
        conditions.append(Volume.study_id.in_(select(Study.id).where(*studies)))
    return conditions
