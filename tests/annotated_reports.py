"""Made-up reports of which it is known what they say."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES

AFFIRMED = ("There is {}.", "{} is observed in the current scan.", "Findings consistent with {}.")
DENIED = ("No {} was observed.", "There is no {}.", "{} is not seen.")


def made_up_reports(count: int, seed: int) -> tuple[list[str], NDArray[np.bool_]]:
    """Reports that affirm some findings and deny all others, in a drawn order and wording."""
    drawn = random.Random(seed)
    labels = np.array([[drawn.random() < 0.3 for _ in ABNORMALITIES] for _ in range(count)])
    reports = []
    for row in labels:
        sentences = [
            drawn.choice(AFFIRMED if present else DENIED).format(name.lower())
            for name, present in zip(ABNORMALITIES, row, strict=True)
        ]
        drawn.shuffle(sentences)
        reports.append(" ".join(sentences))
    return reports, labels


def write_annotated(path: Path, reports: Sequence[str], labels: NDArray[np.bool_]) -> Path:
    """Write the table that `ctsearch train report-labels` reads."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["AccessionNo", "report_text", *ABNORMALITIES])
        table.writerows(
            [f"r{number}", report, *row.astype(int)]
            for number, (report, row) in enumerate(zip(reports, labels, strict=True))
        )
    return path
