"""How sure a figure is, and whether two differ: patients are drawn or swapped whole.

A patient's volumes are near copies of each other; drawing volumes would take them for independent ones.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.pool import Codes

Values = NDArray[np.float64]
LEVEL = 0.95
_NUMBERS_AT_ONCE = 1 << 22


def bootstrap_intervals(values_QM: Values, patient_Q: Codes, resamples: int, seed: int) -> Values:
    """Return the percentile interval (M, 2) of each column's mean, LEVEL of the resamples within it.

    Each resample draws as many patients as there are, with replacement, and takes the mean over all their
    queries.

    Args:
        values_QM: a column a figure, a row a query; NaN where the row is no query of that figure.
        patient_Q: the patient of each query, numbered from 0 without gaps.
        resamples: how many are drawn.
        seed: the same one gives the same interval.

    Returns:
        Lower and upper end; NaN for a figure without queries.
    """
    sums, counts = _by_patient(values_QM, patient_Q)
    patients = len(sums)
    means = np.empty((resamples, values_QM.shape[1]))
    for part, times in patient_draws(patients, resamples, seed):
        means[part] = _mean(times @ sums, times @ counts)
    ends = np.full((values_QM.shape[1], 2), np.nan)
    asked = counts.any(axis=0)
    ends[asked] = percentile_interval(means[:, asked])
    return ends


def patient_draws(
    patients: int, resamples: int, seed: int, width: int | None = None
) -> Iterator[tuple[slice, Values]]:
    """Yield which resamples come, and how often each patient is in them, (resamples of the part, patients).

    Args:
        patients: as many are drawn for each resample, with replacement.
        resamples: how many in all.
        seed: the same one draws the same patients.
        width: numbers a resample that the caller holds, if more than there are patients.
    """
    draw = np.random.default_rng(seed)
    for part in _parts(resamples, max(patients, width or 0)):
        drawn = draw.integers(0, patients, (part.stop - part.start, patients))
        yield part, np.stack([np.bincount(one, minlength=patients) for one in drawn]).astype(np.float64)


def sign_draws(patients: int, permutations: int, seed: int) -> Iterator[Values]:
    """Yield 1 or -1 for each patient, (permutations of the part, patients): -1 swaps the two systems."""
    draw = np.random.default_rng(seed)
    for part in _parts(permutations, patients):
        swapped = draw.integers(0, 2, (part.stop - part.start, patients), dtype=np.int8)
        yield swapped.astype(np.float64) * 2 - 1


def percentile_interval(resampled_RM: Values) -> Values:
    """Return the interval (..., 2) that holds LEVEL of the resamples, which come first; NaN is left out."""
    tail = (1 - LEVEL) / 2
    return np.moveaxis(np.nanquantile(resampled_RM, [tail, 1 - tail], axis=0), 0, -1)


def permutation_p(difference_QM: Values, patient_Q: Codes, permutations: int, seed: int) -> Values:
    """Return two-sided p-values (M,) of a paired test of each column's mean against 0.

    Each permutation swaps the two systems for a random half of the patients, which turns the sign of all
    their differences. p = (1 + those whose |mean| is at least the observed one) / (1 + permutations).

    Args:
        difference_QM: one system less the other, a row a query; NaN where the row is no query.
        patient_Q: as for `bootstrap_intervals`.
        permutations: how many are drawn.
        seed: the same one gives the same p.

    Source:
        Phipson and Smyth 2010, for the 1 that is added: a p of 0 cannot be shown by drawing.
    """
    sums, _ = _by_patient(difference_QM, patient_Q)
    observed = np.abs(sums.sum(axis=0))
    rounding = 1e-12 * np.abs(sums).sum(axis=0)
    as_far = np.zeros(difference_QM.shape[1])
    for signs in sign_draws(len(sums), permutations, seed):
        as_far += (np.abs(signs @ sums) >= observed - rounding).sum(axis=0)
    p: Values = (1 + as_far) / (1 + permutations)
    return p


def sums_by_patient(values_QM: Values, patient_Q: Codes) -> Values:
    """Return the sum of each patient's rows, (patients, M)."""
    sums = np.zeros((int(patient_Q.max(initial=-1)) + 1, values_QM.shape[1]))
    np.add.at(sums, patient_Q, values_QM)
    return sums


def _by_patient(values_QM: Values, patient_Q: Codes) -> tuple[Values, Values]:
    """Return each patient's sum and number of queries, (patients, M)."""
    counted = (~np.isnan(values_QM)).astype(np.float64)
    return sums_by_patient(np.nan_to_num(values_QM), patient_Q), sums_by_patient(counted, patient_Q)


def _mean(sums: Values, counts: Values) -> Values:
    mean: Values = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return mean


def _parts(draws: int, patients: int) -> Iterator[slice]:
    size = max(1, _NUMBERS_AT_ONCE // max(patients, 1))
    for start in range(0, draws, size):
        yield slice(start, min(start + size, draws))
