"""Stored studies as evidence: two queries, however many cases."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.engine import Connection

from chat.evidence import CaseEvidence, Quote
from encoders.sentences import SEARCHED_SECTIONS
from retrieval.filters import LABEL_PRECEDENCE
from retrieval.label_bits import labels_of
from retrieval.named_cases import StoredCase
from retrieval.neighbours import among
from retrieval.schema import Label, Patient, Report, ReportSentence, Study, Volume


def stored_cases(connection: Connection, studies: Sequence[StoredCase]) -> list[CaseEvidence]:
    """Return studies as evidence, ranked from 1 in the order given; a study named twice is one case.

    Args:
        connection: to the archive; one transaction that keeps its snapshot.
        studies: as they were found or named.
    """
    ids = list(dict.fromkeys(study.study_id for study in studies))
    return _gathered(connection, ids, ranked=True)


def studies_of_same_patients(connection: Connection, studies: Sequence[StoredCase]) -> list[CaseEvidence]:
    """Return the other studies of the same patients, in the order of their days, with rank 0."""
    mine = {study.study_id for study in studies}
    rows = (
        select(Study.id)
        .where(among(Study.patient_id, {study.patient_id for study in studies}), ~among(Study.id, mine))
        .order_by(Study.patient_id, Study.day, Study.name.collate("C"))
    )
    return _gathered(connection, list(connection.scalars(rows)), ranked=False)


def told_apart(cases: Sequence[CaseEvidence]) -> list[CaseEvidence]:
    """Return cases by names that no two share: "dataset/name" where two datasets call one alike."""
    studies = Counter(case.study for case in cases)
    datasets: dict[str, set[str | None]] = {}
    for case in cases:
        datasets.setdefault(case.patient, set()).add(case.dataset)
    return [
        replace(
            _called(case, f"{case.dataset}/{case.study}") if studies[case.study] > 1 else case,
            patient=f"{case.dataset}/{case.patient}" if len(datasets[case.patient]) > 1 else case.patient,
        )
        for case in cases
    ]


def _called(case: CaseEvidence, name: str) -> CaseEvidence:
    quotes = tuple(replace(quote, study=name, name=quote.study) for quote in case.sentences)
    return replace(case, study=name, sentences=quotes)


def _gathered(connection: Connection, ids: Sequence[int], *, ranked: bool) -> list[CaseEvidence]:
    if not ids:
        return []
    told = _told(connection, ids)
    sentences = _sentences(connection, ids)
    return [
        _case(told[study_id], sentences.get(study_id, ()), rank if ranked else 0)
        for rank, study_id in enumerate(ids, start=1)
        if study_id in told
    ]


def _case(rows: Sequence[RowMapping], sentences: tuple[Quote, ...], rank: int) -> CaseEvidence:
    first = rows[0]
    labels = {} if first["known"] is None else labels_of(first["known"], first["present"])
    sources = [source for source in LABEL_PRECEDENCE if first[f"{source}_known"]]
    return CaseEvidence(
        study=first["study"],
        patient=first["patient"],
        rank=rank,
        dataset=first["dataset"],
        day=first["day"],
        sex=next((row["sex"] for row in rows if row["sex"] is not None), None),
        age=next((row["age_years"] for row in rows if row["age_years"] is not None), None),
        volumes=tuple(row["volume"] for row in rows if row["volume"] is not None),
        labels=labels,
        label_source=" and ".join(sources) or None,
        sentences=sentences,
    )


def _told(connection: Connection, ids: Sequence[int]) -> dict[int, list[RowMapping]]:
    columns: list[Any] = [
        Study.id,
        Study.name.label("study"),
        Study.dataset,
        Study.day,
        Patient.name.label("patient"),
    ]
    columns += [Volume.name.label("volume"), Volume.sex, Volume.age_years, Label.known, Label.present]
    columns += [getattr(Label, f"{source}_known") for source in LABEL_PRECEDENCE]
    rows = (
        select(*columns)
        .select_from(Study)
        .join(Patient, Patient.id == Study.patient_id)
        .outerjoin(Volume, Volume.study_id == Study.id)
        .outerjoin(Label, Label.study_id == Study.id)
        .where(among(Study.id, ids))
        .order_by(Study.id, Volume.name.collate("C"))
    )
    found = connection.execute(rows).mappings().all()
    return {study_id: list(group) for study_id, group in groupby(found, lambda row: int(row["id"]))}


def _sentences(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Quote, ...]]:
    """Return the first report of each study: a second one would have sentences of the same number."""
    rows = connection.execute(
        select(
            Report.study_id,
            Report.source_key,
            Study.name,
            Study.dataset,
            ReportSentence.section,
            ReportSentence.ordinal,
            ReportSentence.text,
        )
        .join(Report, Report.id == ReportSentence.report_id)
        .join(Study, Study.id == Report.study_id)
        .where(among(Report.study_id, ids), ReportSentence.section.in_(SEARCHED_SECTIONS))
        .order_by(
            Report.study_id,
            Report.source_key.collate("C"),
            ReportSentence.section.collate("C"),  # findings before impression
            ReportSentence.ordinal,
        )
    ).all()
    sentences: dict[int, tuple[Quote, ...]] = {}
    for study_id, of_study in groupby(rows, lambda row: int(row.study_id)):
        _, first = next(groupby(of_study, lambda row: row.source_key))
        sentences[study_id] = tuple(
            Quote(row.name, row.section, row.ordinal, row.text, row.dataset) for row in first
        )
    return sentences
