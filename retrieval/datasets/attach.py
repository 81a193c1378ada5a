"""Rows of report and label tables find their studies by whatever name or number they give."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from retrieval.cases import Unreadable
from retrieval.datasets.columns import (
    ACCESSION,
    NAME,
    PATIENT,
    PATIENT_NAME,
    SERIES,
    STUDY,
    finding_columns,
    read_labels,
    read_report,
)
from retrieval.datasets.raw_studies import RawName, RawStudy
from retrieval.datasets.tables import Row, Table, cell, rows_by_name
from retrieval.deidentify_text import KnownIdentity
from retrieval.volume_names import without_ending

KEY_COLUMNS = (NAME, SERIES, STUDY, ACCESSION, PATIENT)  # the first that names one study decides
ANY_KEY = tuple(dict.fromkeys(name for columns in KEY_COLUMNS for name in columns))


@dataclass(slots=True)
class Index:
    """Studies by all names they go by; a name of several studies is one of none."""

    studies: dict[str, list[RawStudy]] = field(default_factory=dict)

    def add(self, alias: str, study: RawStudy) -> None:
        """Let a study be found under one more name."""
        found = self.studies.setdefault(plain_name(alias), [])
        if alias and not any(one is study for one in found):
            found.append(study)

    def find(self, table: Table, row: Row) -> list[RawStudy]:
        """Return the studies that a row can mean: one if it is clear, several, or none."""
        several: list[RawStudy] = []
        for columns in KEY_COLUMNS:
            written = cell(row, table.find(columns))
            found = self.studies.get(plain_name(written), []) if written else []
            if len(found) == 1:
                return found
            several = several or found
        return several


@dataclass(slots=True)
class Attached:
    """What became of a table's rows that belong to no study."""

    unmatched: list[Row] = field(default_factory=list)  # nothing goes by their name
    unreadable: list[Unreadable] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def decide(self, table: Table, row: Row, index: Index) -> RawStudy | None:
        """Return the study that a row means, or note that there is none, or several."""
        found = index.find(table, row)
        if len(found) == 1:
            return found[0]
        if not found:
            self.unmatched.append(row)
            return None
        where = f"{table.path.name}: line {row.line}"
        self.unreadable.append(
            Unreadable(
                item=where,
                error=f"{where} may mean {len(found)} studies: "
                "give the file's path, the study or the accession number",
            )
        )
        return None

    def note_unmatched(self, table: Table, what: str) -> None:
        """Warn of the rows that name nothing; `what` is the end of the sentence."""
        if self.unmatched:
            first = self.unmatched[0].line
            self.warnings.append(
                f"{len(self.unmatched)} rows of {table.path.name} {what} (the first on line {first})"
            )


def plain_name(written: str) -> str:
    """Return a name as it is compared: forward slashes, no leading "./", no file ending."""
    return without_ending(written.strip().replace("\\", "/").removeprefix("./"))


def row_name(table: Table, row: Row) -> str:
    """Return the first name or number that a row gives, or its line."""
    written = (cell(row, table.find(columns)) for columns in KEY_COLUMNS)
    return next((name for name in written if name), f"line {row.line}")


def attach_reports(table: Table, index: Index) -> Attached:
    """Give each study its reports.

    A study that rows under several names report on keeps all of them that differ.

    Raises:
        DatasetError: the table has no column of names, or none of text.
    """
    attached, rows = _named_rows(table)
    for row in rows:
        report = read_report(table, row, row_name(table, row))
        study = attached.decide(table, row, index)
        if study is None:
            continue
        add_identity(study, table, row)
        if not any(replace(other, name=report.name) == report for _, other in study.reports):
            study.reports.append((RawName(f"{study.study.key}/{report.name}", report.name), report))
    return attached


def attach_labels(table: Table, index: Index) -> Attached:
    """Give each study its labels; a finding that two of its rows disagree on is unknown.

    Raises:
        DatasetError: the table has no column of names or of findings, or a cell that is no label.
    """
    attached, rows = _named_rows(table)
    places = finding_columns(table)
    merged: dict[int, dict[str, bool | None]] = {}
    for row in rows:
        labels = read_labels(table, row, places)
        study = attached.decide(table, row, index)
        if study is None:
            continue
        add_identity(study, table, row)
        found = merged.setdefault(id(study), {})
        for finding, present in labels.items():
            found[finding] = present if found.get(finding, present) is present else None
        study.labels = {finding: present for finding, present in found.items() if present is not None}
    return attached


def _named_rows(table: Table) -> tuple["Attached", list[Row]]:
    table.require(ANY_KEY, "the name of the volume, study or patient")
    rows, clashes, repeated = rows_by_name(
        table, [row_name(table, row) for row in table.rows], show_keys=False
    )
    return Attached(unreadable=clashes, warnings=[*table.warnings, *repeated]), list(rows.values())


def add_identity(study: RawStudy, table: Table, row: Row) -> None:
    """Remember the names and numbers of a row, to be sealed, and to be looked for in the texts."""
    numbers = [cell(row, table.find(columns)) for columns in (ACCESSION, STUDY, PATIENT)]
    person = cell(row, table.find(PATIENT_NAME))
    study.known = study.known.merged(
        KnownIdentity(
            people=(person,) if person else (), identifiers=tuple(number for number in numbers if number)
        )
    )
    if numbers[0]:
        study.identity.setdefault("accession", numbers[0])
    if person:
        study.identity.setdefault("patient_name", person)


def path_aliases(path: Path, folder: Path) -> tuple[str, ...]:
    """Return the names a file goes by in tables: path below the source, whole path, name alone."""
    return path.relative_to(folder).as_posix(), path.as_posix(), path.name
