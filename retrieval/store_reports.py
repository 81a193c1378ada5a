"""Reports and their sentences."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import Connection

from encoders.sentences import SENTENCES_VERSION, split_report
from retrieval.cases import Case, Report
from retrieval.latent_copy import raw_connection
from retrieval.records import storable

_SECTIONS = ("findings", "impression", "clinical_information", "technique")
_ReportKey = tuple[str, str, str]  # (dataset, study, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedReports:
    """Ids by (dataset, study, report), and which rows were written."""

    ids: dict[_ReportKey, int]
    new: frozenset[int]
    changed: frozenset[int]
    changed_studies: frozenset[int]


def save_reports(
    connection: Connection, cases: Sequence[Case], study_ids: Mapping[tuple[str, str], int]
) -> SavedReports:
    """Write new reports and those whose text changed, with their sentences.

    Args:
        connection: in a transaction.
        cases: whose reports are meant; one that comes twice keeps the text that comes last.
        study_ids: by (dataset, study).
    """
    given = {
        (study_ids[storable(case.dataset), storable(case.study)], storable(report.name)): _storable(report)
        for case in cases
        for report in case.reports
    }
    if not given:
        return SavedReports(ids={}, new=frozenset(), changed=frozenset(), changed_studies=frozenset())
    keys = {"studies": [study_id for study_id, _ in given], "names": [name for _, name in given]}
    written = connection.execute(
        text(_SAVE),
        keys
        | {section: [getattr(report, section) for report in given.values()] for section in _SECTIONS}
        | {"digests": [_digest(report) for report in given.values()], "version": SENTENCES_VERSION},
    ).all()
    by_key = {(study, name): report_id for study, name, report_id in connection.execute(text(_IDS), keys)}
    _save_sentences(connection, {report_id: given[study, name] for report_id, study, name, _ in written})
    names = {study_id: key for key, study_id in study_ids.items()}
    return SavedReports(
        ids={(*names[study_id], name): report_id for (study_id, name), report_id in by_key.items()},
        new=frozenset(report_id for report_id, _, _, is_new in written if is_new),
        changed=frozenset(report_id for report_id, _, _, is_new in written if not is_new),
        changed_studies=frozenset(study_id for _, study_id, _, is_new in written if not is_new),
    )


def _storable(report: Report) -> Report:
    return Report(
        name=storable(report.name), **{section: storable(getattr(report, section)) for section in _SECTIONS}
    )


def _digest(report: Report) -> bytes:
    """Return a digest that differs where any section does, also where a sentence moved to the next one."""
    return hashlib.sha256("\0".join(getattr(report, section) for section in _SECTIONS).encode()).digest()


def _save_sentences(connection: Connection, written: Mapping[int, Report]) -> None:
    """Replace the sentences of reports that were written; a text that became empty loses its latents too."""
    if not written:
        return
    ids = sorted(written)
    connection.execute(text("DELETE FROM report_sentence WHERE report_id = ANY(:ids)"), {"ids": ids})
    empty = [each for each in ids if not (written[each].findings or written[each].impression)]
    if empty:
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
    columns = "report_id, section, ordinal, text, negated, affirmed, hedged, denied, fingerprint"
    with (
        raw_connection(connection).cursor() as cursor,
        cursor.copy(f"COPY report_sentence ({columns}) FROM STDIN") as copy,
    ):
        for report_id in sorted(reports):
            for one in split_report(reports[report_id]):
                said = (one.said.affirmed, one.said.hedged, one.said.denied, one.said.fingerprint)
                copy.write_row((report_id, one.section, one.ordinal, one.text, one.negated, *said))


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
RETURNING stored.id, stored.study_id, stored.source_key, stored.xmax = 0
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
