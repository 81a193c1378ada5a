"""What the archive holds, with or without latents: one row a volume, or one a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, literal, select, tuple_
from sqlalchemy.engine import Connection

from retrieval.filters import Filters, refuse_unknown_values, study_conditions, volume_conditions
from retrieval.hits import ACQUISITION, case_metadata, present_labels
from retrieval.neighbours import Unit, among
from retrieval.records import storable
from retrieval.schema import Collection, Patient, Study, Volume, embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCase:
    """A row of the archive. `labels` are the findings known to be present."""

    volume: str | None  # None: a study that has a report and no volume
    volumes: tuple[str, ...]  # those of the study that match; of unit "volume", this one
    study: str
    patient: str
    labels: tuple[str, ...]
    metadata: Mapping[str, Any]
    collections: tuple[str, ...]  # that hold a latent of the volume or of a report of its study

    def to_json(self) -> dict[str, Any]:
        """One element of `cases` in `cases list --json`."""
        return {
            "volume": self.volume,
            "volumes": list(self.volumes),
            "study": self.study,
            "patient": self.patient,
            "labels": list(self.labels),
            "metadata": dict(self.metadata),
            "collections": list(self.collections),
        }


def list_cases(
    connection: Connection,
    filters: Filters,
    unit: Unit,
    limit: int | None = None,
    *,
    after: tuple[str, str] | None = None,
) -> list[ListedCase]:
    """Return the cases that match, by study and then by volume.

    Args:
        connection: to the archive.
        filters: what they must match.
        unit: one row a volume (a study that has none is one row too), or one a study.
        limit: how many at most; None: all.
        after: dataset and name of a study; only those that follow it are listed.

    Raises:
        SearchError: a filter names a value that the archive does not have.
    """
    wanted = _rows(filters, after)
    if unit == "study" and limit is not None:
        wanted = wanted.where(Study.id.in_(_first_studies(filters, after, limit)))
    rows = connection.execute(wanted.limit(limit if unit == "volume" else None)).mappings().all()
    if not rows:
        refuse_unknown_values(connection, filters)
    groups = [[row] for row in rows]
    if unit == "study":
        groups = [list(group) for _, group in groupby(rows, lambda row: int(row["id"]))]
    study_ids = {group[0]["id"] for group in groups}
    labels = present_labels(connection, study_ids, filters.label_source)
    held = collections_holding(connection, study_ids)
    return [_listed(group, labels, held) for group in groups]


def _listed(
    group: Sequence[RowMapping],
    labels: Mapping[int, tuple[str, ...]],
    held: Mapping[tuple[int, int | None], set[str]],
) -> ListedCase:
    first = group[0]
    items = [(first["id"], None), *((first["id"], row["volume_id"]) for row in group)]
    return ListedCase(
        volume=first["volume"],
        volumes=tuple(row["volume"] for row in group if row["volume"] is not None),
        study=first["study"],
        patient=first["patient"],
        labels=labels.get(first["id"], ()),
        metadata=case_metadata(first, first),
        collections=tuple(sorted(set().union(*(held.get(item, set()) for item in items)))),
    )


_IN_ORDER = (Study.name.collate("C"), Study.dataset.collate("C"), Study.id)


def _first_studies(filters: Filters, after: tuple[str, str] | None, limit: int) -> Select[int]:
    """Select the ids of the first studies: volumes of all the others are then not looked at."""
    studies = select(Study.id).where(*study_conditions(filters), *_following(after))
    if filters.on_volumes:
        studies = studies.where(Study.id.in_(select(Volume.study_id).where(*volume_conditions(filters))))
    return studies.order_by(*_IN_ORDER).limit(limit)


def _following(after: tuple[str, str] | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    dataset, name = after
    return [tuple_(*_IN_ORDER[:2]) > tuple_(literal(storable(name)), literal(storable(dataset)))]


def _rows(filters: Filters, after: tuple[str, str] | None) -> Select[Any]:
    study: list[Any] = [Study.id, Study.name.label("study"), Study.dataset, Study.split, Study.day]
    volume: list[Any] = [Volume.id.label("volume_id"), Volume.name.label("volume")]
    acquisition: list[Any] = [getattr(Volume, name) for name in ACQUISITION]
    return (
        select(*study, Patient.name.label("patient"), *volume, *acquisition)
        .select_from(Study)
        .join(Patient, Patient.id == Study.patient_id)
        .outerjoin(Volume, Volume.study_id == Study.id)
        .where(*study_conditions(filters), *volume_conditions(filters), *_following(after))
        .order_by(*_IN_ORDER, Volume.name.collate("C"))
    )


def collections_holding(
    connection: Connection, study_ids: set[int]
) -> dict[tuple[int, int | None], set[str]]:
    """Return the collections that hold a latent, by (study, volume); volume None stands for a report."""
    rows = (
        select(embedding.c.study_id, embedding.c.volume_id, Collection.name)
        .join(Collection, Collection.id == embedding.c.collection_id)
        .where(among(embedding.c.study_id, study_ids))
        .distinct()
    )
    held: dict[tuple[int, int | None], set[str]] = {}
    for study_id, volume_id, name in connection.execute(rows):
        held.setdefault((study_id, volume_id), set()).add(name)
    return held
