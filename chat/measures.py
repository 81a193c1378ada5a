"""Figures over answers that stay computable when patients are drawn again: sums, and what is made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from retrieval.evaluation.pool import Codes
from retrieval.evaluation.resampling import (
    Values,
    patient_draws,
    percentile_interval,
    sign_draws,
    sums_by_patient,
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of N answers.

    Attributes:
        sums_NS: S numbers of each answer whose sums over answers tell the figure.
        value: from such sums (R, S) to the figure (R,); NaN where it is not defined.
    """

    sums_NS: Values
    value: Callable[[Values], Values]

    @property
    def figure(self) -> float:
        """The figure of all answers."""
        return float(self.value(self.sums_NS.sum(axis=0, keepdims=True))[0])

    def by_patient(self, patient_N: Codes) -> Values:
        """Return the sums of each patient, (patients, S)."""
        return sums_by_patient(self.sums_NS, patient_N)


def mean_of(values_N: Values) -> Measure:
    """Return the mean over answers; those that are NaN do not count."""
    told_N = ~np.isnan(values_N)
    return Measure(np.stack([np.where(told_N, values_N, 0.0), told_N], axis=1), _ratio)


def interval(measure: Measure, patient_N: Codes, resamples: int, seed: int) -> tuple[float, float]:
    """Return the percentile interval of a figure, whole patients drawn with replacement."""
    return _interval(
        lambda times: measure.value(times @ sums), len(sums := measure.by_patient(patient_N)), resamples, seed
    )


def difference_interval(
    one: Measure, other: Measure, patient_N: Codes, resamples: int, seed: int
) -> tuple[float, float]:
    """Return the interval of a figure of one system less that of the other, over the same answers."""
    first, second = one.by_patient(patient_N), other.by_patient(patient_N)
    return _interval(
        lambda times: one.value(times @ first) - other.value(times @ second), len(first), resamples, seed
    )


def swap_p(one: Measure, other: Measure, patient_N: Codes, permutations: int, seed: int) -> float:
    """Return the two-sided p of a paired test: the two systems are swapped for a random half of the patients.

    Source:
        Phipson and Smyth 2010, for the 1 that is added on both sides.
    """
    first, second = one.by_patient(patient_N), other.by_patient(patient_N)
    middle, half = first.sum(axis=0) + second.sum(axis=0), first - second
    observed = abs(one.figure - other.figure)
    as_far = 0
    for signs in sign_draws(len(first), permutations, seed):
        apart = signs @ half
        found = one.value((middle + apart) / 2) - other.value((middle - apart) / 2)
        as_far += int((np.abs(found) >= observed - 1e-12).sum())
    return (1 + as_far) / (1 + permutations)


def figures(measures: Mapping[str, Measure]) -> dict[str, float | None]:
    """Return each figure by name; one that is not defined is None."""
    found = {name: measure.figure for name, measure in measures.items()}
    return {name: None if np.isnan(figure) else figure for name, figure in found.items()}


def _interval(
    value: Callable[[Values], Values], patients: int, resamples: int, seed: int
) -> tuple[float, float]:
    drawn = np.empty(resamples)
    for part, times in patient_draws(patients, resamples, seed):
        drawn[part] = value(times)
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = percentile_interval(drawn)
    return float(low), float(high)


def _ratio(sums_RS: Values) -> Values:
    ratio: Values = np.divide(
        sums_RS[:, 0], sums_RS[:, 1], out=np.full(len(sums_RS), np.nan), where=sums_RS[:, 1] > 0
    )
    return ratio
