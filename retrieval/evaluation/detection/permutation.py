"""Whether two models differ: their ranks and calls are swapped for a random half of the patients."""

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.detection.measures import Flags, Values, figures_by_threshold, with_mean
from retrieval.evaluation.detection.sample import Sample
from retrieval.evaluation.detection.scoring import Calls, Scoring
from retrieval.evaluation.resampling import permutation_p, sign_draws


def permutation_p_values(
    sample: Sample, one: Scoring, two: Scoring, *, permutations: int, seed: int
) -> Values:
    """Return two-sided p-values (M, F + 1) of a paired test of each difference; NaN where there is none.

    For AUROC the two models' mid-ranks of a volume are swapped (scores of two models need not share a scale),
    for what hangs on thresholds their calls are, both for whole patients.

    Source:
        Venkatraman and Begg, Biometrika 1996, for ranks that are swapped; Phipson and Smyth 2010 for p.
    """
    scored = np.flatnonzero(~sample.tuned_N)
    share_SF = np.stack(
        [
            swapped_shares(
                one.score_NF[scored, f],
                two.score_NF[scored, f],
                sample.present_NF[scored, f],
                sample.known_NF[scored, f],
            )
            for f in range(len(sample.findings))
        ],
        axis=1,
    )
    share_SF1 = np.concatenate([share_SF, share_SF.mean(axis=1, keepdims=True)], axis=1)
    patient_S = np.unique(sample.patient_N[scored], return_inverse=True)[1]
    auroc_p = permutation_p(share_SF1, patient_S, permutations, seed)
    by_threshold = _p_by_threshold(one.calls, two.calls, permutations, seed)
    return np.concatenate([auroc_p[None], by_threshold])


def swapped_shares(one_N: Values, two_N: Values, present_N: Flags, known_N: Flags) -> Values:
    """Return each volume's share (N,) of the difference of two AUROCs; an unknown label has none.

    The shares add up to AUROC(one) - AUROC(two), both of mid-ranks, and if some volumes are swapped between
    the models, turning the signs of their shares gives the difference that results, exactly: with s the sign
    of a volume, a pair's part of the difference is its part in one half less that of the other half, in which
    s s' cancels and only terms in s and in s' are left. So no permutation needs a sort.
    """
    present, absent = known_N & present_N, known_N & ~present_N
    one_K, two_K = mid_ranks(one_N[known_N]), mid_ranks(two_N[known_N])
    rank_2N = np.zeros((2, len(one_N)))
    rank_2N[:, known_N] = one_K, two_K
    pairs = 2 * max(int(present.sum()) * int(absent.sum()), 1)
    share_N = np.zeros(len(one_N))
    won_2P = _below(rank_2N[:, present], rank_2N[:, absent])
    lost_2A = _below(rank_2N[:, absent], rank_2N[:, present])
    share_N[present] = (won_2P[0] - won_2P[1]) / pairs
    share_N[absent] = (lost_2A[1] - lost_2A[0]) / pairs
    return share_N


def mid_ranks(score_N: Values) -> Values:
    """Return ranks from 1; equal scores share the mean of theirs."""
    _, place, count = np.unique(score_N, return_inverse=True, return_counts=True)
    last: NDArray[np.float64] = np.cumsum(count).astype(np.float64)
    return (last - (count - 1) / 2)[place]


def _below(rank: Values, others: Values) -> Values:
    """Return for each rank how many of all others are lower, those that equal it counting half."""
    ordered = np.sort(others, axis=None)
    return (np.searchsorted(ordered, rank, "left") + np.searchsorted(ordered, rank, "right")) / 2


def _p_by_threshold(one: Calls, two: Calls, permutations: int, seed: int) -> Values:
    patients = len(one.positives)
    (observed,) = np.moveaxis(_differences(one, two, np.ones((1, patients))), 1, 0)
    as_far = np.zeros(observed.shape)
    for sign_RP in sign_draws(patients, permutations, seed):
        difference = np.abs(_differences(one, two, sign_RP))
        as_far += (difference >= np.abs(observed)[:, None] - 1e-12).sum(axis=1)
    return np.where(np.isnan(observed), np.nan, (1 + as_far) / (1 + permutations))


def _differences(one: Calls, two: Calls, sign_RP: Values) -> Values:
    """Return what is left of the differences (3, R, F + 1) where a sign of -1 swaps a patient's calls."""
    counts = []
    for ours, theirs in (
        (one.true_positives, two.true_positives),
        (one.false_positives, two.false_positives),
    ):
        both, swayed = (ours + theirs).sum(axis=0), sign_RP @ (ours - theirs)
        counts.append(((both + swayed) / 2, (both - swayed) / 2))
    (found, found_too), (false, false_too) = counts
    positives, negatives = one.positives.sum(axis=0), one.negatives.sum(axis=0)
    ours = with_mean(figures_by_threshold(found, false, positives, negatives))
    return ours - with_mean(figures_by_threshold(found_too, false_too, positives, negatives))
