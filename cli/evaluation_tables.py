"""Evaluations as tables that fit 80 columns: each figure with its interval and its floors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.tables import printable

if TYPE_CHECKING:
    from retrieval.evaluation.evaluate import Comparison, Evaluation
    from retrieval.evaluation.figures import FigurePath
    from retrieval.evaluation.paper_table import Cell, DatasetTable
    from retrieval.evaluation.pool import Pool

_VOLUME_ROWS: dict[str, "FigurePath"] = {
    "label overlap": ("volume_to_volume", "label_overlap"),
    "MAP, paper's IoU": ("volume_to_volume", "map", "paper_iou"),
    "MAP, shared label": ("volume_to_volume", "map", "binary"),
    "MAP, all relevant": ("volume_to_volume", "map", "binary_trec"),
}
_SCRIPT_OVERLAP = ("volume_to_volume", "script_cumulative")
_REPORT_ROWS: dict[str, "FigurePath"] = {
    "recall": ("report_to_volume", "recall"),
    "recall by study": ("report_to_volume", "recall_by_study"),
}
_SCRIPT_RECALL = ("report_to_volume", "script_recall")


def print_evaluation(evaluation: "Evaluation") -> None:
    """Print every figure of a pool with its 95 % interval and its floors."""
    from retrieval.evaluation.figures import REPORT_KS, VOLUME_KS

    console = console_of()
    table = table_of("Volume to volume", "K", "Figure", "95 % interval", "Random", "Siblings first")
    for name, path in {**_VOLUME_ROWS, "published script": _SCRIPT_OVERLAP}.items():
        for k in VOLUME_KS:
            floors = ("random", "siblings_first") if path == _SCRIPT_OVERLAP else ("random",)
            table.add_row(*_row(evaluation, name, path, k, floors))
        table.add_section()
    console.print(table)
    table = table_of("Report to volume", "K", "Figure", "95 % interval", "Random")
    for name, path in _report_rows(evaluation).items():
        for k in REPORT_KS:
            table.add_row(*_row(evaluation, name, path, k, ("random",)))
        table.add_section()
    console.print(table)
    _print_pool(console, evaluation.pool)


def print_comparison(comparison: "Comparison") -> None:
    """Print the figures of two pools side by side, their differences, and how likely these are by chance."""
    console = console_of()
    first, other = comparison.first, comparison.other
    table = table_of("Figure", "K", "This", "Against", "Differ", "95 % interval", "p")
    shown = "Figure"
    for name, path in {**_VOLUME_ROWS, **_REPORT_ROWS}.items():
        for k in [of[-1] for of in comparison.difference if of[:-1] == path]:
            at = (*path, k)
            table.add_row(
                name if name != shown else "",
                k,
                number_text(first.figures[at]),
                number_text(other.figures[at]),
                number_text(comparison.difference[at], "+"),
                interval_text(comparison.intervals[at], "+"),
                p_text(comparison.p[at]),
            )
            shown = name
        table.add_section()
    console.print(Text(printable(f"{first.pool.called} against {other.pool.called}")))
    console.print(table)
    console.print(Text(f"p: {first.options.permutations:,} paired permutations, whole patients swapped."))
    _print_pool(console, first.pool, other.pool)


def print_paper_tables(tables: "Sequence[DatasetTable]") -> None:
    """Print a row a model and a row for chance, for every measure of every data set."""
    from retrieval.evaluation.paper_table import MEASURES

    console = console_of()
    for of in tables:
        _print_compared(console, of)
        for measure in filter(of.has, MEASURES):
            table = table_of(measure.title, *(f"@{k}" for k in measure.ks))
            for model in of.evaluations:
                cells = (of.cell(model, measure, k) for k in measure.ks)
                table.add_row(printable(model), *map(_fold, cells))
            table.add_section()
            table.add_row("chance", *(number_text(of.random(measure, k)) or "–" for k in measure.ks))
            console.print(table)


def _print_compared(console: Console, of: "DatasetTable") -> None:
    counts = next(iter(of.evaluations.values())).pool.counts()
    name = of.dataset or "Volumes"
    console.print(
        Text(
            printable(
                f"{name}: {counts['volumes']:,} volumes of {counts['studies']:,} studies; × is times chance"
            )
        )
    )
    left_out = [f"{count:,} of {model}" for model, count in of.left_out.items() if count]
    if left_out:
        console.print(Text(printable(f"Volumes that other models lack were left out: {', '.join(left_out)}")))


def _fold(cell: "Cell") -> str:
    """A figure and its fold over chance; a dash where the model has none."""
    if cell.value is None:
        return "–"
    return f"{cell.value:.3f}" + ("" if cell.fold is None else f" {cell.fold:.1f}×")


def _report_rows(evaluation: "Evaluation") -> dict[str, "FigurePath"]:
    """Return the rows of the section that was asked for, then of each section beside it."""
    rows = {**_REPORT_ROWS, "published script": _SCRIPT_RECALL}
    beside = [section for section in evaluation.reports if section != evaluation.options.section]
    for section in beside:
        for name, path in _REPORT_ROWS.items():
            rows[f"{name}, {section}"] = (path[0], "sections", section, path[1])
    return rows


def _row(evaluation: "Evaluation", name: str, path: "FigurePath", k: int, floors: Sequence[str]) -> list[str]:
    at = (*path, str(k))
    interval = evaluation.intervals.get(at)
    within = 3 if "sections" in path else 1  # where the floor stands in the path
    of_floors = [
        number_text(evaluation.figures.get((*path[:within], "floor", floor, *path[within:], str(k))))
        for floor in floors
    ]
    first = k == min(int(of[-1]) for of in evaluation.figures if of[:-1] == path)
    return [
        name if first else "",
        str(k),
        number_text(evaluation.figures[at]),
        "" if interval is None else interval_text(interval),
        *of_floors,
    ]


def _print_pool(console: Console, pool: "Pool", other: "Pool | None" = None) -> None:
    counts = pool.counts()
    console.print(
        Text(
            f"{counts['volumes']:,} volumes of {counts['studies']:,} studies and {counts['patients']:,} "
            f"patients ask; {counts['gallery']:,} have a finding and can be found, the own study left out; "
            f"{max(counts['reports'].values()):,} have a report."
        )
    )
    if other is not None:
        console.print(
            Text(f"Only volumes in both: {pool.left_out:,} and {other.left_out:,} others were left out.")
        )


def number_text(value: float | None, sign: str = "") -> str:
    """Return a figure with three digits, or nothing."""
    return "" if value is None else f"{value:{sign}.3f}"


def interval_text(ends: Sequence[float | None], sign: str = "") -> str:
    """Return both ends, or nothing where one is missing."""
    low, high = ends
    return "" if low is None or high is None else f"{low:{sign}.3f} to {high:{sign}.3f}"


def p_text(value: float | None) -> str:
    """Return a p-value: four digits below .1, else two."""
    if value is None:
        return ""
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def console_of() -> Console:
    """Return where tables are printed."""
    return Console(highlight=False, markup=False, emoji=False)


def table_of(name: str, *columns: str) -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    table.add_column(name, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table
