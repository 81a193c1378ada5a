"""The paper's tables: findings as rows, figures as columns, the mean last; as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieval.atomic_file import written_atomically
from retrieval.evaluation.detection.measures import METRICS

Line = Mapping[str, Any]
HEADINGS = {"auroc": "AUROC", "f1": "F1", "accuracy": "Accuracy", "precision": "Precision"}
MEAN = "Mean"


def findings_table(document: Mapping[str, Any]) -> list[Line]:
    """Return a line a finding, and the mean: figures, their intervals, what constant answers get."""
    lines = [
        {
            "Abnormality": finding,
            **_figures(of),
            "Present": of["support"],
            "Volumes": of["volumes"],
            "Threshold": of["threshold"],
            **_floors(of),
        }
        for finding, of in document["findings"].items()
    ]
    mean = document["mean"]
    empty = {"Present": None, "Volumes": None, "Threshold": None}
    return [*lines, {"Abnormality": MEAN, **_figures(mean), **empty, **_floors(mean)}]


def prompts_table(document: Mapping[str, Any]) -> list[Line]:
    """Return a line a prompt pair: the means over the findings, and each finding's AUROC."""
    return [
        {
            "Present": of["present"],
            "Absent": of["absent"],
            **_figures(of["mean"]),
            **{f"AUROC {finding}": each["auroc"] for finding, each in of["findings"].items()},
        }
        for of in document["prompts"].values()
    ]


def comparison_table(document: Mapping[str, Any]) -> list[Line]:
    """Return a line a finding, and the mean: both models' figures, the difference, its interval and p."""
    compared, against = document["comparison"], document["against"]
    rows = [
        *((name, document["findings"][name], against["findings"][name], of)
          for name, of in compared["findings"].items()),
        (MEAN, document["mean"], against["mean"], compared["mean"]),
    ]  # fmt: skip
    return [
        {
            "Abnormality": name,
            **{
                f"{HEADINGS[metric]}{what}": value
                for metric in METRICS
                for what, value in (
                    ("", of[metric]),
                    (" against", other[metric]),
                    (" difference", by[metric]["difference"]),
                    (" from", by[metric]["interval"][0]),
                    (" to", by[metric]["interval"][1]),
                    (" p", by[metric]["p"]),
                )
            },
        }
        for name, of, other, by in rows
    ]


def write_table(lines: Sequence[Line], folder: Path, name: str) -> list[str]:
    """Write a table as NAME.csv and NAME.json, and return their names.

    Raises:
        StorageError: a file cannot be written.
    """
    with written_atomically(folder / f"{name}.json") as stream:
        stream.write(json.dumps(lines, indent=2).encode())
    return [*write_csv(lines, folder, name), f"{name}.json"]


def write_csv(lines: Sequence[Line], folder: Path, name: str) -> list[str]:
    """Write a table as NAME.csv, and return that name in a list.

    Raises:
        StorageError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _rounded(value) for column, value in line.items()} for line in lines)
    with written_atomically(folder / f"{name}.csv") as stream:
        stream.write(text.getvalue().encode())
    return [f"{name}.csv"]


def _figures(of: Mapping[str, Any]) -> Line:
    figures = {HEADINGS[metric]: of[metric] for metric in METRICS}
    ends = {
        f"{HEADINGS[metric]} {end}": of["interval"][metric][place]
        for metric in METRICS
        for place, end in enumerate(("from", "to"))
    }
    return figures | ends


def _floors(of: Mapping[str, Any]) -> Line:
    return {
        f"{HEADINGS[metric]} {name.replace('_', ' ')}": of["floor"][name][metric]
        for name in ("all_absent", "all_present")
        for metric in ("f1", "accuracy")
    }


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
