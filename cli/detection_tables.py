"""Evaluations of detection as tables that fit 80 columns: each figure with what constant answers get."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.evaluation_tables import console_of, interval_text, number_text, p_text, table_of
from cli.tables import printable

Document = Mapping[str, Any]
_MEAN = "Mean"
BY_THRESHOLD = ("f1", "accuracy", "precision")
_METRICS = {"auroc": "AUROC", "f1": "F1", "accuracy": "accuracy", "precision": "precision"}


def print_detection(document: Document, called: str) -> None:
    """Print the figures of each finding and their means, and of each prompt pair.

    Args:
        document: what `--json` prints.
        called: what was evaluated.
    """
    console = console_of()
    console.print(Text(printable(called)))
    table = table_of("Finding", "Present", "Volumes", "AUROC", "95 % interval")
    for finding, of in document["findings"].items():
        counts = f"{of['support']:,}", f"{of['volumes']:,}"
        table.add_row(finding, *counts, number_text(of["auroc"]), interval_text(of["interval"]["auroc"]))
    mean = document["mean"]
    table.add_section()
    table.add_row(_MEAN, "", "", number_text(mean["auroc"]), interval_text(mean["interval"]["auroc"]))
    console.print(table)
    table = table_of("Finding", "F1", "none", "all", "Acc.", "none", "all", "Prec.")
    for finding, of in document["findings"].items():
        table.add_row(finding, *_by_threshold(of))
    table.add_section()
    table.add_row(_MEAN, *_by_threshold(mean))
    console.print(table)
    console.print(
        Text(
            "none, all: what calling no volume present, or all of them, gets; the AUROC of both is 0.500, "
            "and the precision of the latter is its accuracy."
        )
    )
    ends = (f"{_METRICS[each]} {interval_text(mean['interval'][each])}" for each in BY_THRESHOLD)
    console.print(Text(f"95 % intervals of the means: {', '.join(ends)}; of each finding: --json, --out."))
    _print_prompts(console, document["prompts"])
    _print_pool(console, document)


def print_detection_comparison(document: Document, called: str, against: str) -> None:
    """Print the figures of two models side by side, their differences, and how likely these are by chance."""
    console = console_of()
    console.print(Text(printable(f"{called} against {against}")))
    compared, other = document["comparison"], document["against"]
    table = table_of("AUROC", "This", "Against", "Differ", "95 % interval", "p")
    for finding, by in compared["findings"].items():
        of, its = document["findings"][finding], other["findings"][finding]
        table.add_row(finding, *_compared(of, its, by, "auroc"))
    table.add_section()
    table.add_row(_MEAN, *_compared(document["mean"], other["mean"], compared["mean"], "auroc"))
    console.print(table)
    table = table_of("Mean", "This", "Against", "Differ", "95 % interval", "p")
    for metric, name in _METRICS.items():
        table.add_row(name, *_compared(document["mean"], other["mean"], compared["mean"], metric))
    console.print(table)
    console.print(
        Text(f"p: {compared['permutations']:,} paired permutations, whole patients swapped, two-sided.")
    )
    _print_pool(console, document)
    console.print(
        Text(
            f"Only volumes in both: {document['pool']['left_out']:,} and {other['pool']['left_out']:,} "
            "others were left out."
        )
    )


def _by_threshold(of: Document) -> list[str]:
    absent, present = of["floor"]["all_absent"], of["floor"]["all_present"]
    cells = [
        number_text(value)
        for metric in ("f1", "accuracy")
        for value in (of[metric], absent[metric], present[metric])
    ]
    return [*cells, number_text(of["precision"])]


def _print_prompts(console: Console, prompts: Mapping[str, Any]) -> None:
    if not prompts:
        return
    table = table_of("Prompt, means", "AUROC", "95 % interval", "F1", "Acc.", "Prec.")
    for prompt in prompts.values():
        mean = prompt["mean"]
        by_threshold = (number_text(mean[metric]) for metric in BY_THRESHOLD)
        name = bracketed(prompt["present"], prompt["absent"]) + (" (default)" if prompt["default"] else "")
        table.add_row(
            name, number_text(mean["auroc"]), interval_text(mean["interval"]["auroc"]), *by_threshold
        )
    console.print(table)


def bracketed(present: str, absent: str) -> str:
    """Return a pair as one sentence, the word that denies in brackets, X for the finding."""
    affirmed, denied = present.split(), absent.split()
    for place, word in enumerate(denied):
        if denied[:place] + denied[place + 1 :] == affirmed:
            words = [*denied[:place], f"[{word}]", *denied[place + 1 :]]
            return " ".join(words).replace("{}", "X")
    return f"{present} | {absent}".replace("{}", "X")


def _compared(of: Document, other: Document, by: Document, metric: str) -> list[str]:
    compared = by[metric]
    return [
        number_text(of[metric]),
        number_text(other[metric]),
        number_text(compared["difference"], "+"),
        interval_text(compared["interval"], "+"),
        p_text(compared["p"]),
    ]


def _print_pool(console: Console, document: Document) -> None:
    pool, chosen = document["pool"], document["thresholds"]
    scored = pool["scored"]
    console.print(
        Text(
            f"Scored: {scored['volumes']:,} volumes of {scored['studies']:,} studies and "
            f"{scored['patients']:,} patients. Thresholds: the ROC's upper-left point on the other "
            f"{chosen['volumes']:,} volumes of {chosen['patients']:,} patients (a share of "
            f"{chosen['share']:g}, drawn by seed {chosen['seed']})."
        )
    )
    if pool["unknown_labels"]:
        console.print(Text(f"{pool['unknown_labels']:,} labels are unknown and count nowhere."))
    if pool["phantom"]:
        console.print(Text("Phantoms: synthetic scans, whose figures say nothing of patients."))
