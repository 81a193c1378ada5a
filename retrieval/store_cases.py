"""Cases to rows: patients, studies and labels here, volumes and reports in the files beside it.

What is new is copied (`store_rows`); of what is stored, every statement takes a whole batch and writes what
differs and nothing else. The studies of a batch are locked in the order of their keys: two indexers on one
archive wait for each other instead of locking each other out.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg import errors
from sqlalchemy import text
from sqlalchemy.engine import Connection

from retrieval.cases import Case
from retrieval.filters import LABEL_PRECEDENCE, LabelSource
from retrieval.label_bits import known_and_present
from retrieval.records import SavedCases, storable
from retrieval.store_reports import save_reports
from retrieval.store_rows import copy_rows, stored_or_reserved
from retrieval.store_volumes import save_volumes

StudyKey = tuple[str, str]  # (dataset, study)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Studies:
    """The studies of a batch: ids by key, the new ones, and the patient that each stored one had."""

    ids: Mapping[StudyKey, int]
    new: Collection[int]
    patient_before: Mapping[StudyKey, int]


def save_cases(connection: Connection, cases: Sequence[Case]) -> SavedCases:
    """Write a batch of cases; what is stored already and unchanged is not touched.

    What a source does not say is kept: a case without labels, a report that is not listed, or a volume whose
    acquisition is empty leaves those of an earlier run. A case with labels replaces all of the same source.

    Args:
        connection: in a transaction, which the caller commits.
        cases: of any number of datasets; a study may come in several of them.

    Raises:
        DatasetError: one volume is named in two studies.
        psycopg.errors.UniqueViolation: another writer was faster with a row; the same again will do.
        psycopg.errors.ForeignKeyViolation: a patient was removed meanwhile; likewise.
        psycopg.errors.SerializationFailure: a study was removed meanwhile; likewise.
    """
    by_study = {(storable(case.dataset), storable(case.study)): case for case in cases}
    studies = _studies(connection, by_study)
    patients = _save_patients(connection, by_study)
    updated = _save_studies(connection, by_study, studies, patients)
    volumes = save_volumes(connection, cases, studies.ids)
    reports = save_reports(connection, cases, studies.ids, studies.new)
    updated |= volumes.changed_studies | reports.changed_studies | _save_labels(connection, cases, studies)
    return SavedCases(
        studies=studies.ids,
        volumes=volumes.ids,
        reports=reports.ids,
        new_volumes=volumes.new,
        changed_volumes=volumes.changed,
        new_reports=reports.new,
        changed_reports=reports.changed,
        changed_studies=frozenset(updated.difference(studies.new)),
    )


def _studies(connection: Connection, by_study: Mapping[StudyKey, Case]) -> _Studies:
    """Look up the studies; nobody else writes or removes those that are stored before we commit."""
    ids, new = stored_or_reserved(connection, "study", sorted(by_study))
    stored = {ids[key]: key for key in sorted(by_study) if key not in new}
    rows = connection.execute(text(_LOCK_STUDIES), {"ids": list(stored)}).all() if stored else []
    if len(rows) != len(stored):
        raise errors.SerializationFailure("a study was removed while it was being saved")
    return _Studies(
        ids=ids,
        new=frozenset(ids[key] for key in new),
        patient_before={stored[study_id]: patient_id for study_id, patient_id in rows},
    )


def _save_patients(connection: Connection, by_study: Mapping[StudyKey, Case]) -> dict[tuple[str, str], int]:
    """Return the id of each patient by (dataset, name)."""
    keys = sorted({(dataset, storable(case.patient)) for (dataset, _), case in by_study.items()})
    ids, new = stored_or_reserved(connection, "patient", keys)
    copy_rows(
        connection, "patient", ("id", "dataset", "name"), [(ids[key], *key) for key in keys if key in new]
    )
    return ids


def _save_studies(
    connection: Connection,
    by_study: Mapping[StudyKey, Case],
    studies: _Studies,
    patients: Mapping[tuple[str, str], int],
) -> set[int]:
    """Write new and changed studies and return the changed ones; a split or day that is not given stays."""
    rows = {
        key: (
            studies.ids[key],
            patients[key[0], storable(case.patient)],
            None if case.split is None else storable(case.split),
            case.day,
        )
        for key, case in by_study.items()
    }
    copy_rows(
        connection,
        "study",
        ("dataset", "name", "id", "patient_id", "split", "day"),
        [(*key, *rows[key]) for key in sorted(rows) if key not in studies.patient_before],
    )
    if not studies.patient_before:
        return set()
    stored = [
        dict(zip(("id", "patient_id", "split", "day"), rows[key], strict=True))
        for key in studies.patient_before
    ]
    updated = set(connection.execute(text(_UPDATE_STUDIES), {"rows": json.dumps(stored)}).scalars())
    left = {before for key, before in studies.patient_before.items() if rows[key][1] != before}
    if left:
        connection.execute(text(_REMOVE_PATIENTS_WITHOUT_STUDY), {"left": sorted(left)})
    return updated


def _save_labels(connection: Connection, cases: Sequence[Case], studies: _Studies) -> set[int]:
    """Make the labels of each (study, source) those given; return the stored studies that changed."""
    said: dict[int, dict[LabelSource, dict[str, bool]]] = {}
    for case in cases:
        if case.labels:
            study_id = studies.ids[storable(case.dataset), storable(case.study)]
            said.setdefault(study_id, {}).setdefault(case.label_source, {}).update(case.labels)
    copy_rows(
        connection,
        "label",
        ("study_id", *(f"{source}_{what}" for source in LABEL_PRECEDENCE for what in ("known", "present"))),
        (
            (study_id, *(bits for one in LABEL_PRECEDENCE for bits in known_and_present(given.get(one, {}))))
            for study_id, given in said.items()
            if study_id in studies.new
        ),
    )
    updated: set[int] = set()
    for source in LABEL_PRECEDENCE:
        rows = [
            (study_id, *known_and_present(given[source]))
            for study_id, given in said.items()
            if source in given and study_id not in studies.new
        ]
        if rows:
            replace_labels = _REPLACE_LABELS.format(source=source)
            updated |= set(connection.execute(text(replace_labels), {"rows": json.dumps(rows)}).scalars())
    return updated


_LOCK_STUDIES = """
SELECT id, patient_id FROM study WHERE id = ANY(:ids) ORDER BY dataset, name FOR NO KEY UPDATE
"""

_UPDATE_STUDIES = """
UPDATE study
SET (patient_id, split, day) =
    (given.patient_id, coalesce(given.split, study.split), coalesce(given.day, study.day))
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS given (id bigint, patient_id bigint, split text, day integer)
WHERE study.id = given.id AND (study.patient_id, study.split, study.day) IS DISTINCT FROM
    (given.patient_id, coalesce(given.split, study.split), coalesce(given.day, study.day))
RETURNING study.id
"""

_REMOVE_PATIENTS_WITHOUT_STUDY = """
DELETE FROM patient
WHERE id = ANY(:left) AND NOT EXISTS (SELECT FROM study WHERE study.patient_id = patient.id)
"""

_REPLACE_LABELS = """
INSERT INTO label AS stored (study_id, {source}_known, {source}_present)
SELECT CAST(given ->> 0 AS bigint), CAST(given ->> 1 AS integer), CAST(given ->> 2 AS integer)
FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS given
ON CONFLICT (study_id) DO UPDATE
SET ({source}_known, {source}_present) = (excluded.{source}_known, excluded.{source}_present)
WHERE (stored.{source}_known, stored.{source}_present) <>
    (excluded.{source}_known, excluded.{source}_present)
RETURNING stored.study_id
"""
