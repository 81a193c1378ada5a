"""All that the archive holds of one case: reports with their sentences, labels, volumes, other studies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from encoders.sentences import SECTIONS
from retrieval.case_list import collections_holding
from retrieval.filters import LABEL_PRECEDENCE, LabelSource
from retrieval.hits import ACQUISITION
from retrieval.label_bits import labels_of
from retrieval.named_cases import StoredCase, study_in
from retrieval.schema import Label, Report, ReportSentence, Study, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSentence:
    """A sentence as written, and where it stands; `negated` if it denies findings and affirms none."""

    section: str
    number: int  # from 1 within the section
    text: str
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReport:
    """A report, its sections whole and in sentences."""

    name: str
    findings: str
    impression: str
    clinical_information: str
    technique: str
    sentences: tuple[StoredSentence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLabel:
    """What is known of a finding, who is believed, and what every source says."""

    finding: str
    present: bool
    source: LabelSource
    by_source: Mapping[LabelSource, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVolume:
    """A reconstruction, as its header or table row describes it; None is unknown."""

    volume: str
    metadata: Mapping[str, Any]
    other: Mapping[str, Any]  # what the source says beyond that
    collections: tuple[str, ...]  # that hold its latent


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherStudy:
    """Another study of the same patient."""

    dataset: str
    study: str
    day: int | None  # since the patient's first study


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDetails:
    """A study with everything made or said of it."""

    dataset: str
    study: str
    patient: str
    split: str | None
    day: int | None
    reports: tuple[StoredReport, ...]
    labels: tuple[StoredLabel, ...]  # of the 18, those that are known, in their order
    volumes: tuple[StoredVolume, ...]
    other_studies: tuple[OtherStudy, ...]
    collections: tuple[str, ...]  # that hold a latent of any of it

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)


def case_details(connection: Connection, dataset: str, study: str) -> CaseDetails:
    """Return all that the archive holds of a study.

    Args:
        connection: to the archive; one transaction that keeps its snapshot.
        dataset: where the study is from.
        study: its name there.

    Raises:
        UnknownNameError: there is none of that name.
    """
    case = study_in(connection, dataset, study)
    split, day = connection.execute(select(Study.split, Study.day).where(Study.id == case.study_id)).one()
    held = collections_holding(connection, {case.study_id})
    return CaseDetails(
        dataset=case.dataset,
        study=case.study,
        patient=case.patient,
        split=split,
        day=day,
        reports=_reports(connection, case.study_id),
        labels=_labels(connection, case.study_id),
        volumes=_volumes(connection, case.study_id, held),
        other_studies=_other_studies(connection, case),
        collections=tuple(sorted({name for names in held.values() for name in names})),
    )


def _reports(connection: Connection, study_id: int) -> tuple[StoredReport, ...]:
    rows = select(
        Report.id,
        Report.source_key,
        Report.findings,
        Report.impression,
        Report.clinical_information,
        Report.technique,
    )
    found = connection.execute(
        rows.where(Report.study_id == study_id).order_by(Report.source_key.collate("C"))
    ).all()
    sentences = _sentences(connection, [row.id for row in found])
    return tuple(
        StoredReport(
            name=row.source_key,
            findings=row.findings,
            impression=row.impression,
            clinical_information=row.clinical_information,
            technique=row.technique,
            sentences=sentences.get(row.id, ()),
        )
        for row in found
    )


def _sentences(connection: Connection, report_ids: Sequence[int]) -> dict[int, tuple[StoredSentence, ...]]:
    rows = connection.execute(
        select(
            ReportSentence.report_id,
            ReportSentence.section,
            ReportSentence.ordinal,
            ReportSentence.text,
            ReportSentence.negated,
        )
        .where(ReportSentence.report_id.in_(report_ids))
        .order_by(
            ReportSentence.report_id,
            func.array_position(list(SECTIONS), ReportSentence.section),
            ReportSentence.ordinal,
        )
    )
    return {
        report_id: tuple(
            StoredSentence(section=row.section, number=row.ordinal, text=row.text, negated=row.negated)
            for row in group
        )
        for report_id, group in groupby(rows, lambda row: int(row.report_id))
    }


def _labels(connection: Connection, study_id: int) -> tuple[StoredLabel, ...]:
    row = connection.execute(select(Label).where(Label.study_id == study_id)).mappings().one_or_none()
    if row is None:
        return ()
    said = {
        source: labels_of(row[f"{source}_known"], row[f"{source}_present"]) for source in LABEL_PRECEDENCE
    }
    return tuple(
        StoredLabel(
            finding=finding,
            present=present,
            source=next(source for source in LABEL_PRECEDENCE if finding in said[source]),
            by_source={
                source: said[source][finding] for source in LABEL_PRECEDENCE if finding in said[source]
            },
        )
        for finding, present in labels_of(row["known"], row["present"]).items()
    )


def _volumes(
    connection: Connection, study_id: int, held: Mapping[tuple[int, int | None], set[str]]
) -> tuple[StoredVolume, ...]:
    rows = connection.execute(
        select(Volume.id, Volume.name, Volume.other, *(getattr(Volume, name) for name in ACQUISITION))
        .where(Volume.study_id == study_id)
        .order_by(Volume.name.collate("C"))
    ).mappings()
    return tuple(
        StoredVolume(
            volume=row["name"],
            metadata={name: row[name] for name in ACQUISITION},
            other=row["other"],
            collections=tuple(sorted(held.get((study_id, row["id"]), ()))),
        )
        for row in rows
    )


def _other_studies(connection: Connection, case: StoredCase) -> tuple[OtherStudy, ...]:
    rows = connection.execute(
        select(Study.dataset, Study.name, Study.day)
        .where(Study.patient_id == case.patient_id, Study.id != case.study_id)
        .order_by(Study.day, Study.name.collate("C"))
    )
    return tuple(OtherStudy(dataset=dataset, study=name, day=day) for dataset, name, day in rows)
