"""Where "present" begins: the upper-left point of the ROC curve, on patients that are not scored."""

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.detection.measures import Flags, Values


def drawn_patients(patients: int, share: float, seed: int) -> Flags:
    """Return which patients (P,) choose the thresholds: a share of them, one at least, but never all.

    Args:
        patients: how many there are, two at least.
        share: of the patients.
        seed: the same one draws the same patients.
    """
    count = min(max(1, round(share * patients)), patients - 1)
    drawn = np.zeros(patients, bool)
    drawn[np.random.default_rng(seed).permutation(patients)[:count]] = True
    return drawn


def roc_points(score_N: Values, present_N: Flags) -> tuple[Values, Values, Values]:
    """Return the ROC curve's points from the highest score down.

    Args:
        score_N: higher means more likely present.
        present_N: both kinds must be there.

    Returns:
        False and true positive rate, and the score from which "present" is said; a point a distinct score.
    """
    order = np.argsort(-score_N, kind="stable")
    score = score_N[order]
    last = np.flatnonzero(np.r_[score[1:] != score[:-1], True])
    found = np.cumsum(present_N[order])[last]
    false = last + 1 - found
    return false / false[-1], found / found[-1], score[last]


def upper_left(score_N: Values, present_N: Flags) -> float:
    """Return the score of the ROC's point nearest to its upper left corner; NaN unless both kinds are there.

    A volume with that score or a higher one is called present. Of points equally near, the highest score is
    taken. As only scores that occur are taken, any increasing function of the scores gives the same calls.
    """
    if present_N.all() or not present_N.any():
        return float("nan")
    false_rate, true_rate, score = roc_points(score_N, present_N)
    distance: NDArray[np.float64] = np.hypot(false_rate, 1 - true_rate)
    return float(score[np.argmin(distance)])
