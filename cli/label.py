"""`ctsearch label`: which of the 18 abnormalities each report of a table names."""

from pathlib import Path
from typing import Annotated

import typer

_AT_ONCE = 64


def label(
    reports: Annotated[Path, typer.Argument(help="CSV: a name, a report, as AccessionNo,report_text.")],
    model: Annotated[
        str, typer.Option(metavar="DIR|rules", help="A trained extractor's directory, or the built-in rules.")
    ],
    out: Annotated[Path, typer.Option(help="CSV to write: the first two columns, then 18 of 0/1.")],
    device: Annotated[str, typer.Option(help="Where a transformer runs: cpu, cuda, cuda:1 …")] = "cpu",
) -> None:
    """Label every report of a CSV with the 18 abnormalities, in CT-RATE's manner."""
    import numpy as np

    from cli.progress import indexing_progress
    from encoders.errors import InputError
    from encoders.report_labels import load_label_extractor
    from retrieval.report_table import read_report_table, write_labels

    if out.exists() and reports.exists() and out.samefile(reports):
        raise InputError(f"found --out {out}, which is the table of reports itself: choose another file")
    if not out.absolute().parent.is_dir():
        raise InputError(f"found --out {out}, whose folder does not exist: make it first")
    extractor = load_label_extractor(model, device=device)
    table = read_report_table(reports)
    found = []
    with indexing_progress() as progress:
        for start in range(0, len(table.reports), _AT_ONCE):
            found.append(extractor.label_reports(table.reports[start : start + _AT_ONCE]))
            done = min(start + _AT_ONCE, len(table.reports))
            progress.update(done=done, total=len(table.reports), failed=0, step="labelling")
    write_labels(out, table, np.concatenate(found))
    for warning in table.warnings:
        typer.echo(f"warning: {warning}", err=True)
    empty = sum(not report for report in table.reports)
    if empty:
        typer.echo(f"warning: {empty} rows have no report; their labels were left empty", err=True)
    typer.echo(f"labelled {len(table.reports) - empty} reports by {extractor.name} into {out}")
