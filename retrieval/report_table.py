"""Tables of reports: read to be labelled, read with an annotator's labels, written with labels."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from encoders.statements import joined
from retrieval.atomic_file import written_atomically
from retrieval.cases import Report
from retrieval.datasets.columns import finding_columns, read_labels, read_report
from retrieval.datasets.tables import Table, read_table

_KEPT = 2  # columns that the labels are written beside: who it is and what was written


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """Reports in the order of their rows."""

    kept_columns: tuple[str, ...]
    kept_cells: tuple[tuple[str, ...], ...]  # as they were written
    reports: tuple[str, ...]  # findings and impression; empty where neither was given
    warnings: tuple[str, ...]


def text_of(report: Report) -> str:
    """Return what a label extractor reads of a report."""
    return joined((report.findings, report.impression))


def read_report_table(path: Path) -> ReportTable:
    """Read a CSV of reports to be labelled.

    Raises:
        DatasetError: it is no such table; the columns that were found are named.
    """
    table = read_table(path, stripped=False)
    if len(table.columns) < _KEPT:
        raise DatasetError(
            f"{path} has the column {table.columns[0]} alone: "
            "give a name and a report, as AccessionNo,report_text"
        )
    return ReportTable(
        kept_columns=table.columns[:_KEPT],
        kept_cells=tuple(row.cells[:_KEPT] for row in table.rows),
        reports=_reports(table),
        warnings=table.warnings,
    )


def read_annotated_reports(path: Path) -> tuple[tuple[str, ...], npt.NDArray[np.bool_]]:
    """Read a CSV of reports with all 18 labels of each.

    Returns:
        The reports, N of them, and their labels (N, 18).

    Raises:
        DatasetError: a column is missing, a report is empty, or a label is neither 0 nor 1.
    """
    table = read_table(path)
    places = finding_columns(table)
    for name in ABNORMALITIES:
        table.require((name,), f"the label {name}")
    reports = _reports(table)
    labels_NC = np.zeros((len(reports), len(ABNORMALITIES)), dtype=np.bool_)
    for number, (row, report) in enumerate(zip(table.rows, reports, strict=True)):
        labels = read_labels(table, row, places)
        missing = [name for name in ABNORMALITIES if name not in labels]
        if missing:
            raise DatasetError(
                f"{path} does not say on line {row.line} whether there is {missing[0]}: "
                "to train, every label must be 0 or 1; complete the row or leave it out"
            )
        if not report:
            raise DatasetError(f"{path} has no report on line {row.line}: complete the row or leave it out")
        labels_NC[number] = [labels[name] for name in ABNORMALITIES]
    return reports, labels_NC


def write_labels(path: Path, table: ReportTable, labels_NC: npt.NDArray[np.bool_]) -> None:
    """Write the first two columns of a table and the 18 labels, as 0 and 1; the file is whole or not there.

    Args:
        path: of the CSV.
        table: where the rows come from; one without a report has empty labels, for nobody knows them.
        labels_NC: (N, 18).

    Raises:
        StorageError: it cannot be written.
    """
    with written_atomically(path) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow([*table.kept_columns, *ABNORMALITIES])
        for cells, report, labels in zip(table.kept_cells, table.reports, labels_NC, strict=True):
            writer.writerow([*cells, *(labels.astype(int) if report else [""] * len(labels))])
        lines.detach()


def _reports(table: Table) -> tuple[str, ...]:
    return tuple(text_of(read_report(table, row, name="")) for row in table.rows)
