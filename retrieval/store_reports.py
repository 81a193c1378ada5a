"""Reports and their sentences."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import Connection

from encoders.sentences import SENTENCES_VERSION, split_report
from retrieval.cases import Case, Report
from retrieval.records import storable
from retrieval.store_rows import copy_rows, reserve_ids

_SECTIONS = ("findings", "impression", "clinical_information", "technique")
_Key = tuple[int, str]  # (study id, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedReports:
    """Ids by (dataset, study, report), and which rows were written."""

    ids: dict[tuple[str, str, str], int]
    new: frozenset[int]
    changed: frozenset[int]
    changed_studies: frozenset[int]


def save_reports(
    connection: Connection,
    cases: Sequence[Case],
    study_ids: Mapping[tuple[str, str], int],
    new_studies: Collection[int],
) -> SavedReports:
    """Write new reports and those whose text changed, with their sentences.

    Args:
        connection: in a transaction.
        cases: whose reports are meant; one that comes twice keeps the text that comes last.
        study_ids: by (dataset, study).
        new_studies: of them, those that were not stored before and so have no report yet.
    """
    given = {
        (study_ids[storable(case.dataset), storable(case.study)], storable(report.name)): _storable(report)
        for case in cases
        for report in case.reports
    }
    if not given:
        return SavedReports(ids={}, new=frozenset(), changed=frozenset(), changed_studies=frozenset())
    ids = _copy_new(connection, {key: given[key] for key in sorted(given) if key[0] in new_studies})
    new, changed = set(ids), set[_Key]()
    stored = {key: report for key, report in given.items() if key not in ids}
    if stored:
        inserted, changed = _save_stored(connection, stored)
        new |= inserted
        ids |= _stored_ids(connection, stored)
    _save_sentences(
        connection, {ids[key]: given[key] for key in new | changed}, {ids[key] for key in changed}
    )
    names = {study_id: key for key, study_id in study_ids.items()}
    return SavedReports(
        ids={(*names[study_id], name): report_id for (study_id, name), report_id in ids.items()},
        new=frozenset(ids[key] for key in new),
        changed=frozenset(ids[key] for key in changed),
        changed_studies=frozenset(study_id for study_id, _ in changed),
    )


def _copy_new(connection: Connection, given: Mapping[_Key, Report]) -> dict[_Key, int]:
    if not given:
        return {}
    ids = dict(zip(given, reserve_ids(connection, "report", len(given)), strict=True))
    columns = ("id", "study_id", "source_key", *_SECTIONS, "text_sha256", "sentences_version")
    rows = (
        (ids[key], *key, *_sections(report), _digest(report), SENTENCES_VERSION)
        for key, report in given.items()
    )
    copy_rows(connection, "report", columns, rows)
    return ids


def _save_stored(connection: Connection, given: Mapping[_Key, Report]) -> tuple[set[_Key], set[_Key]]:
    """Write the reports of studies that may have them; return the keys of the new and of the changed ones."""
    sections = zip(*map(_sections, given.values()), strict=True)
    written = connection.execute(
        text(_SAVE),
        _listed(given)
        | dict(zip(_SECTIONS, map(list, sections), strict=True))
        | {"digests": [_digest(report) for report in given.values()], "version": SENTENCES_VERSION},
    ).all()
    inserted = {(study_id, name) for study_id, name, is_new in written if is_new}
    return inserted, {(study_id, name) for study_id, name, is_new in written if not is_new}


def _stored_ids(connection: Connection, given: Mapping[_Key, Report]) -> dict[_Key, int]:
    rows = connection.execute(text(_IDS), _listed(given))
    return {(study_id, name): report_id for study_id, name, report_id in rows}


def _listed(keys: Iterable[_Key]) -> dict[str, list[int] | list[str]]:
    keys = list(keys)
    return {"studies": [study_id for study_id, _ in keys], "names": [name for _, name in keys]}


def _sections(report: Report) -> list[str]:
    return [getattr(report, section) for section in _SECTIONS]


def _storable(report: Report) -> Report:
    return Report(
        name=storable(report.name), **{section: storable(getattr(report, section)) for section in _SECTIONS}
    )


def _digest(report: Report) -> bytes:
    """Return a digest that differs where any section does, also where a sentence moved to the next one."""
    return hashlib.sha256("\0".join(_sections(report)).encode()).digest()


def _save_sentences(connection: Connection, written: Mapping[int, Report], changed: Collection[int]) -> None:
    """Write the sentences of reports; a changed text loses its old ones, an empty one its latents too."""
    if changed:
        ids = {"ids": sorted(changed)}
        connection.execute(text("DELETE FROM report_sentence WHERE report_id = ANY(:ids)"), ids)
        empty = [each for each in ids["ids"] if not (written[each].findings or written[each].impression)]
        connection.execute(text("DELETE FROM embedding WHERE report_id = ANY(:ids)"), {"ids": empty})
    _copy_sentences(connection, written)


def split_again(connection: Connection) -> int:
    """Split the stored reports whose sentences were made by other rules than these; returns how many.

    Args:
        connection: in the transaction that upgraded the schema.
    """
    done, last = 0, 0
    while True:
        rows = connection.execute(text(_OUTDATED), {"version": SENTENCES_VERSION, "last": last}).all()
        if not rows:
            return done
        reports = {
            report_id: Report(name=name, **dict(zip(_SECTIONS, sections, strict=True)))
            for report_id, name, *sections in rows
        }
        ids = {"ids": sorted(reports)}
        connection.execute(text("DELETE FROM report_sentence WHERE report_id = ANY(:ids)"), ids)
        _copy_sentences(connection, reports)
        connection.execute(text(_SPLIT), ids | {"version": SENTENCES_VERSION})
        done, last = done + len(reports), max(reports)


def _copy_sentences(connection: Connection, reports: Mapping[int, Report]) -> None:
    columns = ("report_id", "section", "ordinal", "text", "negated")
    said = ("affirmed", "hedged", "denied", "fingerprint")
    rows = (
        (
            report_id,
            each.section,
            each.ordinal,
            each.text,
            each.negated,
            *(getattr(each.said, w) for w in said),
        )
        for report_id in sorted(reports)
        for each in split_report(reports[report_id])
    )
    copy_rows(connection, "report_sentence", (*columns, *said), rows)


_SAVE = """
INSERT INTO report AS stored
    (study_id, source_key, findings, impression, clinical_information, technique, text_sha256,
    sentences_version)
SELECT given.*, :version
FROM unnest(CAST(:studies AS bigint[]), CAST(:names AS text[]), CAST(:findings AS text[]),
    CAST(:impression AS text[]), CAST(:clinical_information AS text[]), CAST(:technique AS text[]),
    CAST(:digests AS bytea[]))
    AS given (study_id, source_key, findings, impression, clinical_information, technique, text_sha256)
LEFT JOIN report AS old USING (study_id, source_key)
WHERE old.text_sha256 IS DISTINCT FROM given.text_sha256
ORDER BY given.study_id, given.source_key
ON CONFLICT (study_id, source_key) DO UPDATE
SET (findings, impression, clinical_information, technique, text_sha256, sentences_version) =
    (excluded.findings, excluded.impression, excluded.clinical_information, excluded.technique,
    excluded.text_sha256, excluded.sentences_version)
WHERE stored.text_sha256 <> excluded.text_sha256
RETURNING stored.study_id, stored.source_key, stored.xmax = 0
"""

_IDS = """
SELECT study_id, source_key, id FROM report
JOIN unnest(CAST(:studies AS bigint[]), CAST(:names AS text[])) AS given (study_id, source_key)
USING (study_id, source_key)
"""

_OUTDATED = """
SELECT id, source_key, findings, impression, clinical_information, technique FROM report
WHERE id > :last AND sentences_version <> :version ORDER BY id LIMIT 1000
"""

_SPLIT = "UPDATE report SET sentences_version = :version WHERE id = ANY(:ids)"
