"""AUROC and what follows from a confusion matrix, of a sample or of many weightings of it at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
METRICS = ("auroc", "f1", "accuracy", "precision")
BY_THRESHOLD = METRICS[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A finding's volumes by score: sorted once, any weighting of them then has its AUROC in one pass.

    Attributes:
        row_K: rows of the known volumes, the lowest score first.
        present_K: whether they show the finding.
        first_G: where each run of equal scores begins.
    """

    row_K: NDArray[np.intp]
    present_K: Flags
    first_G: NDArray[np.intp]

    @classmethod
    def of(cls, score_N: Values, present_N: Flags, known_N: Flags) -> "Ordered":
        """Sort the volumes of which the finding is known."""
        known = np.flatnonzero(known_N)
        row_K = known[np.argsort(score_N[known], kind="stable")]
        score_K = score_N[row_K]
        first_G = np.flatnonzero(np.r_[True, score_K[1:] != score_K[:-1]][: len(row_K)])
        return cls(row_K=row_K, present_K=present_N[row_K], first_G=first_G)

    def auroc(self, weight_RN: Values) -> Values:
        """Return the AUROC (R,) under each weighting; NaN where either kind has no weight.

        The share of pairs of a positive and a negative in which the positive scores higher, ties counting
        half, each pair weighted by the product of its two weights.

        Source:
            Mann and Whitney 1947; Hanley and McNeil, Radiology 1982.
        """
        positive_RG = self._by_score(weight_RN, self.present_K)
        negative_RG = self._by_score(weight_RN, ~self.present_K)
        pairs = positive_RG.sum(axis=1) * negative_RG.sum(axis=1)
        below_RG = np.cumsum(negative_RG, axis=1)
        below_RG -= negative_RG / 2
        won = np.einsum("rg,rg->r", positive_RG, below_RG)
        auroc: Values = np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
        return auroc

    def _by_score(self, weight_RN: Values, kept_K: Flags) -> Values:
        """Return the weight at each distinct score of the volumes that are kept."""
        place_K = np.zeros(len(self.row_K), np.intp)
        place_K[self.first_G[1:]] = 1
        place_K = np.cumsum(place_K)[kept_K]
        weights = np.zeros((len(weight_RN), len(self.first_G)))
        if len(self.first_G) == len(self.row_K):
            weights[:, place_K] = weight_RN[:, self.row_K[kept_K]]
        elif len(place_K):
            first = np.flatnonzero(np.r_[True, place_K[1:] != place_K[:-1]])
            weights[:, place_K[first]] = np.add.reduceat(weight_RN[:, self.row_K[kept_K]], first, axis=1)
        return weights


def figures_by_threshold(
    true_positives: ArrayLike, false_positives: ArrayLike, positives: ArrayLike, negatives: ArrayLike
) -> Values:
    """Return F1, accuracy and precision, stacked first, of confusion matrices of any shape.

    F1 is that of both answers, "present" and "absent", weighted by how many volumes each is true of;
    precision is that of "present". A ratio of nothing to nothing is 0, as scikit-learn has it;
    without volumes all are NaN.

    Args:
        true_positives: volumes with the finding that are called present.
        false_positives: volumes without it that are called present.
        positives: volumes with it.
        negatives: volumes without it.

    Source:
        arXiv 2403.17834, which reports support-weighted F1.
    """
    found, false, positive, negative = (
        np.asarray(each, np.float64) for each in (true_positives, false_positives, positives, negatives)
    )
    passed = negative - false
    f1_present = ratio(2 * found, found + false + positive)
    f1_absent = ratio(2 * passed, passed + (positive - found) + negative)
    total = positive + negative
    figures = np.stack(
        [
            ratio(positive * f1_present + negative * f1_absent, total),
            ratio(found + passed, total),
            ratio(found, found + false),
        ]
    )
    return np.where(total > 0, figures, np.nan)


def with_mean(figures_F: Values) -> Values:
    """Append the mean over the last axis; what is NaN is left out of it."""
    known = ~np.isnan(figures_F)
    total = np.where(known, figures_F, 0.0).sum(axis=-1)
    count = known.sum(axis=-1)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.concatenate([figures_F, mean[..., None]], axis=-1)


def ratio(part: Values, whole: Values) -> Values:
    """Return part over whole; 0 where there is no whole, as scikit-learn has it."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)
