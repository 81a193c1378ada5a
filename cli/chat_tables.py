"""Scores of a chat model as tables that fit 80 columns: each figure with its interval and its floor."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.evaluation_tables import console_of, interval_text, number_text, p_text, table_of
from cli.tables import printable

Document = Mapping[str, Any]
_NAMES = {
    "bleu_1": "BLEU-1",
    "rouge_l": "ROUGE-L",
    "meteor": "METEOR",
    "cider": "CIDEr",
    "exact": "right answer",
    "judge": "judge, 0-10",
}


def print_chat(document: Document, called: str) -> None:
    """Print the figures of each task.

    Args:
        document: what `--json` prints.
        called: the file of answers.
    """
    console = console_of()
    console.print(
        Text(printable(f"{called}: {document['answers']:,} answers, {document['patients']:,} patients"))
    )
    for task, of in document["tasks"].items():
        _print_task(console, task, of)
        if "findings" in of:
            _print_findings(console, of)
        if "judge" in of:
            _print_bands(console, of)
    console.print(
        Text(
            "Floor: one constant answer, a normal report or the commonest reference. Another's: the "
            "reference of another patient. Intervals of everything: --json, --out."
        )
    )
    if document.get("left_out"):
        console.print(Text(f"{document['left_out']:,} answers to questions of one file alone were left out."))
    for reason, count in document.get("rejected_grades", {}).items():
        console.print(Text(printable(f"not graded: {count} × {reason}")))


def _print_task(console: Console, task: str, of: Document) -> None:
    """Print one task; the intervals give way where there are answers without the volume."""
    others = {"floor": "Floor", "another": "Another's", "without_volume": "No volume"}
    shown = [key for key in others if key in of]
    differences = of.get("difference", {})
    between, after = ([], ["Differ", "p"]) if differences else (["95 % interval"], [])
    table = table_of("", "Figure", *between, *(others[key] for key in shown), *after)
    for name, figure in of["figures"].items():
        row = [number_text(figure), *([] if differences else [_ends(of["interval"][name])])]
        row += [number_text(of[key]["figures"].get(name)) for key in shown]
        if name in differences:
            row += [number_text(differences[name]["value"], "+"), p_text(differences[name]["p"])]
        table.add_row(_name(name), *row)
    console.print(Text(f"{task}: {of['answers']:,} answers, {of['patients']:,} patients"))
    console.print(table)


def _print_findings(console: Console, of: Document) -> None:
    table = table_of("Finding", "References", "Precision", "Recall", "F1", "Floor F1")
    for finding, rates in of["findings"].items():
        numbers = (number_text(rates[rate]) for rate in ("precision", "recall", "f1"))
        floor = number_text(of["floor"]["findings"][finding]["f1"])
        table.add_row(finding, f"{rates['support']:,}", *numbers, floor)
    console.print(table)


def _print_bands(console: Console, of: Document) -> None:
    bands, floor = of["judge"]["bands"], of["floor"]["judge"]["bands"]
    shares = [
        f"{band}: {number_text(share)} (floor {number_text(floor[band]) or 'not graded'})"
        for band, share in bands.items()
        if share is not None
    ]
    console.print(Text(", ".join([f"{of['judge']['graded']:,} graded", *shares])))


def _name(name: str) -> str:
    return _NAMES.get(name, name.replace("clinical_", "").replace("_", " "))


def _ends(ends: list[float] | None) -> str:
    return "" if ends is None else interval_text(ends)
