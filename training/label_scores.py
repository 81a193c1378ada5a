"""How well labels of reports fit those of an annotator: F1, and cross-validation without leaks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]  # (N, 18)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScores:
    """F1 of each of the 18 and their mean, weighted by how many reports have each (as the paper's)."""

    f1_C: npt.NDArray[np.float64]
    weighted_f1: float


def score_labels(annotated_NC: Labels, found_NC: Labels) -> LabelScores:
    """Compare labels with an annotator's.

    Args:
        annotated_NC: (N, 18).
        found_NC: (N, 18).

    Returns:
        F1 = 2 TP / (2 TP + FP + FN), 0 where nobody has or finds a label.
    """
    support_C = annotated_NC.sum(axis=0)
    both_C = (annotated_NC & found_NC).sum(axis=0)
    f1_C = 2 * both_C / np.maximum(1, support_C + found_NC.sum(axis=0))
    return LabelScores(f1_C=f1_C, weighted_f1=float(f1_C @ support_C / max(1, support_C.sum())))


def folds_by_text(reports: Sequence[str], folds: int, seed: int) -> npt.NDArray[np.intp]:
    """Return the fold of each report; reports of one text share it, else one would be learnt by heart."""
    places: dict[str, int] = {}
    text_N = np.array([places.setdefault(" ".join(report.split()), len(places)) for report in reports])
    fold_of_text = np.random.default_rng(seed).permutation(len(places)) % folds
    fold_N: npt.NDArray[np.intp] = fold_of_text[text_N]
    return fold_N


def cross_validate(
    reports: Sequence[str],
    annotated_NC: Labels,
    fit: Callable[[Sequence[str], Labels], Callable[[Sequence[str]], Labels]],
    *,
    folds: int,
    seed: int,
) -> LabelScores:
    """Label each report by an extractor fitted to the other folds, and score all of them together.

    Args:
        reports: N of them.
        annotated_NC: (N, 18).
        fit: makes an extractor; whatever it picks or tunes, it sees its own folds alone.
        folds: at least 2.
        seed: of who is in which fold.
    """
    found_NC = np.zeros_like(annotated_NC)
    for inside_N, outside_N in _splits(folds_by_text(reports, folds, seed), folds):
        label = fit([reports[row] for row in inside_N], annotated_NC[inside_N])
        found_NC[outside_N] = label([reports[row] for row in outside_N])
    return score_labels(annotated_NC, found_NC)


def _splits(
    fold_N: npt.NDArray[np.intp], folds: int
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    for fold in range(folds):
        yield np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
