"""`ctsearch train phantom-figures`: how encoders find phantoms that they have not seen."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from training.phantom_cohorts import Cohort
    from training.phantom_figures import Figure, Judged

Row = tuple[str, list["Figure"]]


def phantom_figures(
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="A built-in encoder or a model's directory; repeat for the mean of several."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="An encoder that they are compared with, on the same patients; may be repeated."),
    ] = None,
    scans: Annotated[int, typer.Option(min=20, help="Scans of each cohort.")] = 200,
    seed: Annotated[list[int] | None, typer.Option(help="Of a cohort; may be given again.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of preprocessed volumes; default: in CTSEARCH_HOME.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document and nothing else.")] = False,
) -> None:
    """Print how encoders find phantoms that they have not seen. These are never clinical figures."""
    from retrieval.database_address import home
    from training.phantom_cohorts import phantoms_unseen
    from training.phantom_figures import areas_by_finding

    names, others, seeds = encoder or ["phantom-tiny"], against or [], seed or [101, 102, 103]
    cohorts = [phantoms_unseen(scans, number) for number in seeds]
    judged = {name: _judged(name, cohorts, cache or home() / "volumes") for name in [*names, *others]}
    rows = _references(cohorts) + _rows(judged, names, others)
    findings = areas_by_finding([judged[name] for name in names])
    if as_json:
        typer.echo(json.dumps(_document(rows, findings, scans, seeds)))
        return
    cohort_names = ", ".join(map(str, seeds))
    typer.echo(f"{scans} phantom scans each of seeds {cohort_names}: drawn, not patients; not clinical")
    typer.echo("R@K: report to scan; named: finding to volume, P@10; overlap: of labels, top 10\n")
    _print_rows(rows)
    _print_findings(findings)


def _references(cohorts: "Sequence[Cohort]") -> list[Row]:
    from training.phantom_figures import REFERENCES, resampled, with_intervals

    return [
        (name, with_intervals(resampled([judge(cohort) for cohort in cohorts])))
        for name, judge in REFERENCES.items()
    ]


def _rows(judged: "dict[str, list[Judged]]", names: list[str], others: list[str]) -> list[Row]:
    """Each encoder, the mean of those asked about and of those they are compared with, and the difference."""
    import numpy as np

    from training.phantom_figures import resampled, with_intervals

    tables = {name: resampled(cohorts) for name, cohorts in judged.items()}
    ours, theirs = ([tables[name] for name in group] for group in (names, others))
    if len(ours) > 1:
        tables[f"mean of the first {len(ours)}"] = np.mean(ours, axis=0)
    if len(theirs) > 1:
        tables[f"mean of the last {len(theirs)}"] = np.mean(theirs, axis=0)
    if theirs:
        tables["difference"] = np.mean(ours, axis=0) - np.mean(theirs, axis=0)
    return [(name, with_intervals(table)) for name, table in tables.items()]


def _judged(name: str, cohorts: "Sequence[Cohort]", cache: Path) -> "list[Judged]":
    from encoders.encoder import load_encoder
    from training.phantom_cohorts import encode_cohort
    from training.phantom_figures import judge

    loaded = load_encoder(name)
    return [judge(cohort, encode_cohort(loaded, cohort, cache)) for cohort in cohorts]


def _print_rows(rows: Sequence[Row]) -> None:
    """A line a retriever; its overlap also as a multiple of chance and a share of what labels find."""
    from training.phantom_figures import REFERENCES

    known = dict(rows)
    chance, labels = known["chance"][2].value, known["knows the labels"][2].value
    _print_row("", ["R@5", "R@10", "named", "overlap", "x chance", "of labels", "AUROC"])
    for name, row in rows:
        recall_5, recall_10, overlap, named, area = (_shown(figure.value) for figure in row)
        shares = [""] * 2 if name == "difference" else [f"{row[2].value / of:.2f}" for of in (chance, labels)]
        _print_row(_short(name), [recall_5, recall_10, named, overlap, *shares, area])
        if name not in REFERENCES:
            for what, end in (("  95 % interval, from", "low"), ("  to", "high")):
                ends = [_shown(getattr(figure, end)) for figure in row]
                _print_row(what, [ends[0], ends[1], ends[3], ends[2], "", "", ends[4]])


def _print_row(name: str, cells: Sequence[str]) -> None:
    widths = (6, 6, 7, 9, 10, 11, 7)
    typer.echo(f"{name:<24}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def _print_findings(findings: dict[str, float]) -> None:
    typer.echo("\nZero-shot AUROC by finding")
    for name, area in sorted(findings.items(), key=lambda item: item[1]):
        typer.echo(f"{name:<40}{_shown(area):>6}")


def _document(
    rows: Sequence[Row], findings: dict[str, float], scans: int, seeds: Sequence[int]
) -> dict[str, Any]:
    from training.phantom_figures import FIGURES

    return {
        "phantoms_only": True,
        "scans": scans,
        "seeds": seeds,
        "figures": {
            name: {
                figure: None if math.isnan(value.value) else asdict(value)
                for figure, value in zip(FIGURES, row, strict=True)
            }
            for name, row in rows
        },
        "zero_shot_auroc_by_finding": {
            name: None if math.isnan(area) else area for name, area in findings.items()
        },
    }


def _short(name: str) -> str:
    return name if len(name) <= 23 else f"…{name[-22:]}"


def _shown(value: float) -> str:
    """As in the tables: three decimals, without the zero before the point; a dash for what is not defined."""
    return "–" if math.isnan(value) else f"{value:.3f}".replace("0.", ".", 1)
