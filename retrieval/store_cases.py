"""Cases to rows: patients, studies and labels here, volumes and reports in the files beside it.

Every statement takes a whole batch, writes what differs and nothing else, and does so in the order of the
keys: two indexers on one archive wait for each other instead of locking each other out.
"""

import json
from collections.abc import Mapping, Sequence

from psycopg import errors
from sqlalchemy import text
from sqlalchemy.engine import Connection

from retrieval.cases import Case
from retrieval.records import SavedCases, storable
from retrieval.store_reports import save_reports
from retrieval.store_volumes import save_volumes

StudyKey = tuple[str, str]  # (dataset, study)


def save_cases(connection: Connection, cases: Sequence[Case]) -> SavedCases:
    """Write a batch of cases; what is stored already and unchanged is not touched.

    What a source does not say is kept: a case without labels, a report that is not listed, or a volume whose
    acquisition is empty leaves those of an earlier run. A case with labels replaces all of the same source.

    Args:
        connection: in a transaction, which the caller commits.
        cases: of any number of datasets; a study may come in several of them.

    Raises:
        DatasetError: one volume is named in two studies.
        psycopg.errors.SerializationFailure: a study was removed meanwhile; the same again will do.
    """
    by_study = {(storable(case.dataset), storable(case.study)): case for case in cases}
    known = _known_studies(connection, by_study)
    _save_patients(connection, by_study)
    updated = _save_studies(connection, by_study)
    studies = _known_studies(connection, by_study)
    if studies.keys() != by_study.keys():
        raise errors.SerializationFailure("a study was removed while it was being saved")
    ids = {key: study_id for key, (study_id, _) in studies.items()}
    _remove_patients_left_behind(connection, known, studies)
    volumes = save_volumes(connection, cases, ids)
    reports = save_reports(connection, cases, ids)
    updated |= volumes.changed_studies | reports.changed_studies | _save_labels(connection, cases, ids)
    return SavedCases(
        studies=ids,
        volumes=volumes.ids,
        reports=reports.ids,
        new_volumes=volumes.new,
        changed_volumes=volumes.changed,
        new_reports=reports.new,
        changed_reports=reports.changed,
        changed_studies=frozenset(updated & {study_id for study_id, _ in known.values()}),
    )


def _known_studies(
    connection: Connection, by_study: Mapping[StudyKey, Case]
) -> dict[StudyKey, tuple[int, int]]:
    """Return (study id, patient id) of those that are stored; none of them is removed before we commit."""
    rows = connection.execute(
        text(
            "SELECT dataset, name, id, patient_id FROM study JOIN "
            "unnest(CAST(:datasets AS text[]), CAST(:names AS text[])) AS given (dataset, name) "
            "USING (dataset, name) ORDER BY dataset, name FOR KEY SHARE OF study"
        ),
        {"datasets": [dataset for dataset, _ in by_study], "names": [name for _, name in by_study]},
    )
    return {(dataset, name): (study_id, patient_id) for dataset, name, study_id, patient_id in rows}


def _save_patients(connection: Connection, by_study: Mapping[StudyKey, Case]) -> None:
    patients = {(dataset, storable(case.patient)) for (dataset, _), case in by_study.items()}
    connection.execute(
        text(
            "INSERT INTO patient (dataset, name) SELECT dataset, name "
            "FROM unnest(CAST(:datasets AS text[]), CAST(:names AS text[])) AS given (dataset, name) "
            "WHERE NOT EXISTS (SELECT FROM patient AS old "
            "WHERE old.dataset = given.dataset AND old.name = given.name) "
            "ORDER BY dataset, name ON CONFLICT DO NOTHING"
        ),
        {"datasets": [dataset for dataset, _ in patients], "names": [name for _, name in patients]},
    )


def _save_studies(connection: Connection, by_study: Mapping[StudyKey, Case]) -> set[int]:
    """Write new and changed studies and return their ids; a split or day that is not given stays."""
    rows = connection.execute(
        text(
            "INSERT INTO study AS stored (patient_id, dataset, name, split, day) "
            "SELECT patient.id, given.dataset, given.name, "
            "coalesce(given.split, old.split), coalesce(given.day, old.day) "
            "FROM unnest(CAST(:datasets AS text[]), CAST(:names AS text[]), CAST(:patients AS text[]), "
            "CAST(:splits AS text[]), CAST(:days AS integer[])) "
            "AS given (dataset, name, patient, split, day) "
            "JOIN patient ON patient.dataset = given.dataset AND patient.name = given.patient "
            "LEFT JOIN study AS old ON old.dataset = given.dataset AND old.name = given.name "
            "WHERE old.id IS NULL OR (old.patient_id, old.split, old.day) IS DISTINCT FROM "
            "(patient.id, coalesce(given.split, old.split), coalesce(given.day, old.day)) "
            "ORDER BY given.dataset, given.name "
            "ON CONFLICT (dataset, name) DO UPDATE "
            "SET (patient_id, split, day) = (excluded.patient_id, excluded.split, excluded.day) "
            "WHERE (stored.patient_id, stored.split, stored.day) IS DISTINCT FROM "
            "(excluded.patient_id, excluded.split, excluded.day) "
            "RETURNING stored.id"
        ),
        {
            "datasets": [dataset for dataset, _ in by_study],
            "names": [name for _, name in by_study],
            "patients": [storable(case.patient) for case in by_study.values()],
            "splits": [None if case.split is None else storable(case.split) for case in by_study.values()],
            "days": [case.day for case in by_study.values()],
        },
    )
    return set(rows.scalars())


def _remove_patients_left_behind(
    connection: Connection,
    before: Mapping[StudyKey, tuple[int, int]],
    after: Mapping[StudyKey, tuple[int, int]],
) -> None:
    """Remove patients whose last study turned out to be another patient's."""
    left = {patient_id for key, (_, patient_id) in before.items() if after[key][1] != patient_id}
    if left:
        connection.execute(
            text(
                "DELETE FROM patient WHERE id = ANY(:left) "
                "AND NOT EXISTS (SELECT FROM study WHERE study.patient_id = patient.id)"
            ),
            {"left": sorted(left)},
        )


def _save_labels(
    connection: Connection, cases: Sequence[Case], study_ids: Mapping[StudyKey, int]
) -> set[int]:
    """Make the labels of each (study, source) those given; return the studies where one was another."""
    said: dict[tuple[int, str], dict[str, bool]] = {}
    for case in cases:
        if case.labels:
            study_id = study_ids[storable(case.dataset), storable(case.study)]
            said.setdefault((study_id, case.label_source), {}).update(case.labels)
    if not said:
        return set()
    given = [
        {"study_id": study_id, "source": source, "labels": labels}
        for (study_id, source), labels in said.items()
    ]
    values = {"given": json.dumps(given), "studies": sorted({study_id for study_id, _ in said})}
    return set(connection.execute(text(_REPLACE_LABELS), values).scalars())


_REPLACE_LABELS = """
WITH spoken AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb))
        AS spoken (study_id bigint, source text, labels jsonb)
), given AS MATERIALIZED (
    SELECT study_id, key AS abnormality, source, value::boolean AS present FROM spoken, jsonb_each(labels)
), vanished AS (
    DELETE FROM label AS old
    USING spoken
    WHERE old.study_id = ANY(:studies) AND old.study_id = spoken.study_id AND old.source = spoken.source
        AND NOT jsonb_exists(spoken.labels, old.abnormality)
    RETURNING old.study_id
), written AS (
    INSERT INTO label AS stored (study_id, abnormality, source, present)
    SELECT study_id, abnormality, source, given.present
    FROM given
    LEFT JOIN (SELECT * FROM label WHERE study_id = ANY(:studies)) AS old
        USING (study_id, abnormality, source)
    WHERE old.present IS DISTINCT FROM given.present
    ORDER BY study_id, abnormality, source
    ON CONFLICT (study_id, abnormality, source) DO UPDATE SET present = excluded.present
    WHERE stored.present <> excluded.present
    RETURNING stored.study_id
)
SELECT study_id FROM vanished UNION SELECT study_id FROM written
"""
