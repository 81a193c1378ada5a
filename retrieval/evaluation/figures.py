"""Figures by their path in the JSON, and the nested document that they make."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FigurePath = tuple[str, ...]
"""Such as ("volume_to_volume", "map", "binary", "10"): the last part is K."""

VOLUME_KS = (1, 5, 10, 50)
REPORT_KS = (5, 10, 50, 100)

DEFINITIONS: dict[str, str] = {
    "queries": "volume to volume: all volumes; report to volume: each volume that has a report, by its "
    "report",
    "gallery": "volume to volume: volumes with at least one finding, without the query's own study; "
    "report to volume: all volumes, with or without a report",
    "similarity": "cosine; equal ones come in the order of names in volume to volume, and count against the "
    "retriever in report to volume",
    "label_overlap": "mean over the top K of the label IoU with the query; a query without a finding has 0",
    "map.paper_iou": "(1/K) sum over i <= K of P(i) rel(i), rel the label IoU, P(i) the mean of rel over the "
    "first i",
    "map.binary": "relevant = one finding shared; sum over i <= K of P(i) rel(i), over min(relevant, K)",
    "map.binary_trec": "the same sum over all relevant ones of the gallery, by ir-measures (trec_eval)",
    "script_cumulative": "what the published script prints: the query and its siblings stay in the gallery, "
    "and each K averages in the lower ones",
    "script_recall": "what the published script prints: inner products as stored, equal ones in the order of "
    "the source, one right volume a report",
    "recall": "share of the reports whose own volume is among the K nearest volumes; a sibling is a miss",
    "recall_by_study": "share of the reports whose own study is among the K nearest studies, a study being "
    "as near as its nearest volume",
    "floor": "expectations: random knows nothing; siblings_first knows which volumes are of the query's scan "
    "and differs from random where these can be found; figures directly under a floor are label_overlap "
    "(random), script_cumulative (siblings_first) and recall (report to volume)",
    "interval": "percentile bootstrap over patients",
    "p": "two-sided paired permutation test: the two are swapped for whole patients",
}


def nested(figures: Mapping[FigurePath, Any]) -> dict[str, Any]:
    """Return figures as a document of documents."""
    document: dict[str, Any] = {}
    for path, value in figures.items():
        place = document
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return document


def means(values: Mapping[FigurePath, NDArray[np.float64]]) -> dict[FigurePath, float | None]:
    """Return the mean of each figure's queries; rows that are NaN are no queries; None without any."""
    return {path: number(np.nanmean(of)) if not np.isnan(of).all() else None for path, of in values.items()}


def number(value: float | np.floating[Any]) -> float | None:
    """Return a number as JSON has it; NaN becomes null."""
    return None if np.isnan(value) else float(value)
