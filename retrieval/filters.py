"""Typed filters, and what they mean in SQL.

Labels, split and dataset belong to a study; sex, age and manufacturer to a volume. A label that is missing
is unknown: it matches neither `labels` nor `without_labels`. A study without a volume row says nothing of
sex, age or manufacturer, so it matches no filter on them.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute

from encoders.errors import SearchError
from retrieval.cases import Sex
from retrieval.findings import abnormality_named
from retrieval.label_bits import bits_of
from retrieval.records import storable
from retrieval.schema import Label, Study, Volume

LabelSource = Literal["manual", "extractor", "zero_shot"]
LABEL_PRECEDENCE: tuple[LabelSource, ...] = get_args(LabelSource)
"""Where sources disagree on a finding of a study, the first of these that speaks is believed.

The database keeps what follows from it (`Label.known` and `Label.present`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRange:
    """Years, both ends included; None is open. De-identified sources pool 90 and more as 90."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a case must match, all of it. Manufacturer, split and dataset: the whole value, in any case.

    Raises:
        SearchError: a finding or sex that does not exist, or one finding asked for both present and absent.
    """

    labels: tuple[str, ...] = ()
    without_labels: tuple[str, ...] = ()
    label_source: LabelSource | None = None  # None: by LABEL_PRECEDENCE
    sex: Sex | None = None
    age: AgeRange | None = None
    manufacturer: str | None = None
    split: str | None = None
    dataset: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _findings(self.labels))
        object.__setattr__(self, "without_labels", _findings(self.without_labels))
        for name in ("manufacturer", "split", "dataset"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else storable(value))
        both = [name for name in self.labels if name in self.without_labels]
        if both:
            raise SearchError(f"{both[0]} is asked for both present and absent: no case can match")
        if self.label_source is not None:
            object.__setattr__(self, "label_source", parse_label_source(self.label_source))
        if self.sex is not None:
            object.__setattr__(self, "sex", parse_sex(self.sex))

    @property
    def is_set(self) -> bool:
        """Whether anything must match; whose labels count matters only where labels are asked for."""
        return replace(self, label_source=None) != Filters()

    @property
    def on_volumes(self) -> bool:
        """Whether a volume row must match something."""
        return not (self.sex is None and self.age is None and self.manufacturer is None)

    def to_json(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


def parse_age(text: str) -> AgeRange:
    """Read "40:70", "40:", ":70" or "55" (55 alone), in years.

    Raises:
        SearchError: anything else.
    """
    low, colon, high = text.strip().partition(":")
    bounds = (_years(low, text), _years(high, text) if colon else _years(low, text))
    if bounds == (None, None):
        raise SearchError(f"age {text!r} has no bound; write 40:70, 40: or :70")
    if None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]
        raise SearchError(f"age {text!r} ends before it begins; write the lower age first, as in 40:70")
    return AgeRange(low=bounds[0], high=bounds[1])


def parse_sex(text: str) -> Sex:
    """Read "F" or "M", in any case.

    Raises:
        SearchError: anything else.
    """
    for sex in get_args(Sex):
        if text.strip().upper() == sex:
            return sex  # type: ignore[no-any-return]
    raise SearchError(f"sex {text!r} is unknown; take F or M")


def parse_label_source(text: str) -> LabelSource:
    """Read the name of a source of labels, in any case, hyphens for underscores.

    Raises:
        SearchError: anything else.
    """
    for source in LABEL_PRECEDENCE:
        if text.strip().lower().replace("-", "_") == source:
            return source
    raise SearchError(f"label source {text!r} is unknown; take one of {', '.join(LABEL_PRECEDENCE)}")


def study_sets(filters: Filters) -> "list[Select[int]]":
    """Select the ids of the studies with the labels asked for, and of those with the split and dataset.

    A study matches that is in all of these sets.
    """
    sets = [_labelled(filters)] if filters.labels or filters.without_labels else []
    columns = []
    if filters.split is not None:
        columns.append(_same_text(Study.split, filters.split))
    if filters.dataset is not None:
        columns.append(_same_text(Study.dataset, filters.dataset))
    return [*sets, select(Study.id).where(*columns)] if columns else sets


def study_conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """Conditions on `Study`: labels, split and dataset."""
    return [Study.id.in_(studies) for studies in study_sets(filters)]


def volume_conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """Conditions on `Volume`: sex, age and manufacturer, as that row says."""
    conditions: list[ColumnElement[bool]] = []
    if filters.sex is not None:
        conditions.append(Volume.sex == filters.sex)
    if filters.age is not None and filters.age.low is not None:
        conditions.append(Volume.age_years >= filters.age.low)
    if filters.age is not None and filters.age.high is not None:
        conditions.append(Volume.age_years <= filters.age.high)
    if filters.manufacturer is not None:
        conditions.append(_same_text(Volume.manufacturer, filters.manufacturer))
    return conditions


def label_columns(
    label_source: LabelSource | None,
) -> tuple[InstrumentedAttribute[int], InstrumentedAttribute[int]]:
    """Return the columns of `Label` with the bits of what is known and of what is present.

    Args:
        label_source: believe this source alone; None takes the first that speaks by LABEL_PRECEDENCE.
    """
    if label_source is None:
        return Label.known, Label.present
    return getattr(Label, f"{label_source}_known"), getattr(Label, f"{label_source}_present")


def refuse_unknown_values(connection: Connection, filters: Filters) -> None:
    """Tell a filter that nothing can match from one that nothing happens to match.

    Raises:
        SearchError: no row of the archive has this manufacturer, split or dataset; those it has are listed.
    """
    asked = (
        ("manufacturer", Volume.manufacturer, filters.manufacturer),
        ("split", Study.split, filters.split),
        ("dataset", Study.dataset, filters.dataset),
    )
    for noun, column, value in asked:
        if value is None:
            continue
        there = sorted(filter(None, connection.scalars(select(column).distinct())))
        if value.lower() not in (name.lower() for name in there):
            listed = ", ".join(there) if there else "none at all"
            raise SearchError(f"no case has the {noun} {value!r}; the archive has {listed}")


def _findings(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(abnormality_named(name) for name in names))


def _years(text: str, whole: str) -> float | None:
    if not text.strip():
        return None
    try:
        years = float(text)
    except ValueError:
        years = math.nan
    if not 0 <= years < math.inf:
        raise SearchError(f"age {whole!r} is not a range of years; write 40:70, 40: or :70")
    return years


def _same_text(column: InstrumentedAttribute[Any], value: str) -> ColumnElement[bool]:
    """Both sides are lowered by the database, so that its locale decides once."""
    return func.lower(column) == func.lower(value)


def _labelled(filters: Filters) -> "Select[int]":
    known, present = label_columns(filters.label_source)
    absent = known.bitwise_and(present.bitwise_not())
    asked = ((present, bits_of(filters.labels)), (absent, bits_of(filters.without_labels)))
    return select(Label.study_id).where(*(column.bitwise_and(bits) == bits for column, bits in asked if bits))
