"""What is shown of the cases found: labels, report, acquisition. Three queries, however many hits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, select
from sqlalchemy.engine import Connection

from encoders.abnormalities import ABNORMALITIES
from retrieval.filters import LABEL_PRECEDENCE, LabelSource, label_columns
from retrieval.fusion import LegName, LegPlace
from retrieval.label_bits import labels_of
from retrieval.matched_sentences import matched_sentences
from retrieval.neighbours import Neighbour, listed
from retrieval.schema import Label, Patient, Report, Study, Volume
from retrieval.sources import Source
from retrieval.text_query import TextQuery

ACQUISITION = ("sex", "age_years", "manufacturer", "model", "kernel", "slice_mm", "pixel_mm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A case found. `labels` are the findings known to be present."""

    rank: int
    volume: str | None
    study: str
    patient: str
    score: float
    labels: tuple[str, ...]
    shared_labels: tuple[str, ...]  # those that the question has too
    missing_labels: tuple[str, ...]  # the question has them, and the case is known not to
    other_labels: tuple[str, ...]  # the case has them, and the question does not
    legs: Mapping[
        LegName, LegPlace | None
    ]  # its place in each ranking that was asked; None: not among its first
    matched_sentences: tuple[str, ...]
    findings: str
    impression: str
    metadata: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """One element of `hits` in `search --json`."""
        return {
            "rank": self.rank,
            "volume": self.volume,
            "study": self.study,
            "patient": self.patient,
            "score": round(self.score, 6),
            "labels": list(self.labels),
            "shared_labels": list(self.shared_labels),
            "missing_labels": list(self.missing_labels),
            "other_labels": list(self.other_labels),
            "legs": {leg: None if place is None else place.to_json() for leg, place in self.legs.items()},
            "matched_sentences": list(self.matched_sentences),
            "report": {"findings": self.findings, "impression": self.impression},
            "metadata": dict(self.metadata),
        }


def fetch_hits(
    connection: Connection,
    neighbours: Sequence[Neighbour],
    *,
    label_source: LabelSource | None,
    query_labels: Collection[str],
    wanted: TextQuery,
    sources: Mapping[int, Source],
    places: Sequence[Mapping[LegName, LegPlace | None]] = (),
) -> tuple[Hit, ...]:
    """Look up what is shown of each neighbour, in their order; ranks count from 1.

    Args:
        connection: to the archive.
        neighbours: best first.
        label_source: whose labels are shown; None: the first that speaks.
        query_labels: the findings of the question, for `shared_labels` and what differs.
        wanted: what the question says, for `matched_sentences`.
        sources: by volume id, where voxels are; what is not known is not shown.
        places: of each neighbour, where it stands in each leg.
    """
    study_ids = {neighbour.study_id for neighbour in neighbours}
    shown = {neighbour.volume_id for neighbour in neighbours if neighbour.volume_id is not None}
    volumes = _volumes(connection, shown, label_source)
    studies = {row["study_id"]: row for row in volumes.values()}
    without_volume = study_ids - studies.keys()
    if without_volume:
        studies |= _studies(connection, without_volume, label_source)
    reports = _reports(connection, study_ids)
    reported = [_report_shown(neighbour, reports.get(neighbour.study_id, [])) for neighbour in neighbours]
    sentences = matched_sentences(
        connection, {report["id"] for report in reported if report is not None}, wanted
    )
    return tuple(
        Hit(
            rank=rank,
            volume=neighbour.volume,
            study=neighbour.study,
            patient=studies[neighbour.study_id]["patient"],
            score=neighbour.score,
            **_compared(_labels(studies[neighbour.study_id]), query_labels),
            legs=place,
            matched_sentences=sentences.get(report["id"], ()) if report is not None else (),
            findings=report["findings"] if report is not None else "",
            impression=report["impression"] if report is not None else "",
            metadata={
                **case_metadata(studies[neighbour.study_id], volumes.get(neighbour.volume_id or 0)),
                **_source(sources.get(neighbour.volume_id or 0)),
            },
        )
        for rank, (neighbour, report, place) in enumerate(
            zip(neighbours, reported, places or [{}] * len(reported), strict=True), start=1
        )
    )


def present_labels(
    connection: Connection, study_ids: Collection[int], label_source: LabelSource | None
) -> dict[int, tuple[str, ...]]:
    """Return each study's findings known to be present, in the order of `ABNORMALITIES`."""
    rows = connection.execute(_LABELS[label_source], {"ids": sorted(study_ids)}).mappings()
    return {row["study_id"]: present for row in rows if (present := _present(_labels(row)))}


def _labels(row: RowMapping) -> dict[str, bool]:
    return {} if row["known"] is None else labels_of(row["known"], row["present"])


def _present(known: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(name for name in ABNORMALITIES if known.get(name))


def _compared(known: Mapping[str, bool], asked: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return a case's findings beside those of the question."""
    present = _present(known)
    return {
        "labels": present,
        "shared_labels": tuple(name for name in present if name in asked),
        "missing_labels": tuple(name for name in ABNORMALITIES if name in asked and known.get(name) is False),
        "other_labels": tuple(name for name in present if name not in asked) if asked else (),
    }


def case_metadata(study: RowMapping, volume: RowMapping | None) -> dict[str, Any]:
    """Return dataset, split and day of a study and the acquisition of a volume; None is unknown."""
    acquired = {name: None if volume is None else volume[name] for name in ACQUISITION}
    return {"dataset": study["dataset"], "split": study["split"], "day": study["day"], **acquired}


def _source(source: Source | None) -> dict[str, str]:
    return {} if source is None else {"source": source.uri}


def _studies(
    connection: Connection, ids: Collection[int], label_source: LabelSource | None
) -> dict[int, RowMapping]:
    rows = connection.execute(_STUDIES[label_source], {"ids": sorted(ids)}).mappings()
    return {row["study_id"]: row for row in rows}


def _volumes(
    connection: Connection, ids: Collection[int], label_source: LabelSource | None
) -> dict[int, RowMapping]:
    return {
        row["id"]: row for row in connection.execute(_VOLUMES[label_source], {"ids": sorted(ids)}).mappings()
    }


def _reports(connection: Connection, study_ids: Collection[int]) -> dict[int, list[RowMapping]]:
    reports: dict[int, list[RowMapping]] = {}
    for row in connection.execute(_REPORTS, {"ids": sorted(study_ids)}).mappings():
        reports.setdefault(row["study_id"], []).append(row)
    return reports


def _report_shown(neighbour: Neighbour, reports: Sequence[RowMapping]) -> RowMapping | None:
    """The report that was found, or else the study's first."""
    found = [report for report in reports if report["id"] == neighbour.report_id]
    return next(iter(found or reports), None)


def _said(label_source: LabelSource | None) -> tuple[ColumnElement[int], ColumnElement[int]]:
    known, present = label_columns(label_source)
    return known.label("known"), present.label("present")


# Built once: SQLAlchemy takes longer to build such a statement than PostgreSQL to answer it.
_SOURCES = (None, *LABEL_PRECEDENCE)
_LABELS = {
    source: select(Label.study_id, *_said(source)).where(listed(Label.study_id)) for source in _SOURCES
}
_STUDY = (
    Study.id.label("study_id"),
    Study.dataset,
    Study.split,
    Study.day,
    Patient.name.label("patient"),
)
_STUDIES = {
    source: select(*_STUDY, *_said(source))
    .join(Patient, Patient.id == Study.patient_id)
    .outerjoin(Label, Label.study_id == Study.id)
    .where(listed(Study.id))
    for source in _SOURCES
}
_VOLUMES = {
    source: select(Volume.id, *(getattr(Volume, name) for name in ACQUISITION), *_STUDY, *_said(source))
    .join(Study, Study.id == Volume.study_id)
    .join(Patient, Patient.id == Study.patient_id)
    .outerjoin(Label, Label.study_id == Study.id)
    .where(listed(Volume.id))
    for source in _SOURCES
}
_REPORTS = (
    select(Report.id, Report.study_id, Report.findings, Report.impression)
    .where(listed(Report.study_id))
    .order_by(Report.study_id, Report.source_key.collate("C"))
)
