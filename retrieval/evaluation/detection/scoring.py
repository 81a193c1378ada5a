"""One model's scores, judged: figures, their intervals, thresholds and confusion matrices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.detection.measures import Ordered, Values, figures_by_threshold, with_mean
from retrieval.evaluation.detection.sample import Sample
from retrieval.evaluation.detection.thresholds import upper_left
from retrieval.evaluation.resampling import patient_draws, percentile_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How often "present" is said, by patient of the scored part, (P, F) each.

    Attributes:
        true_positives, false_positives: volumes with and without the finding that are called present.
        positives, negatives: volumes with and without it; 0 where no threshold could be chosen.
    """

    true_positives: Values
    false_positives: Values
    positives: Values
    negatives: Values

    def figures(self, times_RP: Values) -> Values:
        """Return F1, accuracy and precision (3, R, F), each patient counted as often as is said."""
        return figures_by_threshold(
            times_RP @ self.true_positives,
            times_RP @ self.false_positives,
            times_RP @ self.positives,
            times_RP @ self.negatives,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """A judged model.

    Attributes:
        score_NF: what was judged, of all volumes.
        threshold_F: from which score on "present" is said; NaN where none could be chosen.
        calls: by patient.
        figure_MF1: METRICS of each finding and their mean; NaN where there is none.
        resampled_RMF1: the same of each resample.
    """

    score_NF: Values
    threshold_F: Values
    calls: Calls
    figure_MF1: Values
    resampled_RMF1: Values

    @property
    def intervals(self) -> Values:
        """Lower and upper end of each figure (M, F + 1, 2); NaN where there is none."""
        return interval_of(self.resampled_RMF1, ~np.isnan(self.figure_MF1))


def interval_of(resampled_RMF1: Values, there_MF1: NDArray[np.bool_]) -> Values:
    """Return the percentile interval (M, F + 1, 2) of the figures that are there; NaN for the others."""
    ends = np.full((*there_MF1.shape, 2), np.nan)
    ends[there_MF1] = percentile_interval(resampled_RMF1[:, there_MF1])
    return ends


def judge(sample: Sample, score_NF: Values, *, resamples: int, seed: int) -> Scoring:
    """Choose thresholds on the tuned patients and score the others, who are resampled whole.

    Args:
        sample: the labels.
        score_NF: finite scores.
        resamples: of the bootstrap; thresholds stay as they were chosen.
        seed: of the bootstrap; the same one draws the same patients for every model.
    """
    threshold_F = _thresholds(sample, score_NF)
    scored = np.flatnonzero(~sample.tuned_N)
    patient_S = np.unique(sample.patient_N[scored], return_inverse=True)[1]
    patients = int(patient_S.max()) + 1
    calls = _calls(sample, score_NF, threshold_F, scored, patient_S)
    ordered = [
        Ordered.of(score_NF[scored, f], sample.present_NF[scored, f], sample.known_NF[scored, f])
        for f in range(len(sample.findings))
    ]

    def figures(times_RP: Values) -> Values:
        weight_RN = times_RP[:, patient_S]
        auroc_RF = np.stack([each.auroc(weight_RN) for each in ordered], axis=1)
        return np.moveaxis(with_mean(np.concatenate([auroc_RF[None], calls.figures(times_RP)])), 1, 0)

    resampled = np.empty((resamples, 4, len(sample.findings) + 1))
    for part, times_RP in patient_draws(patients, resamples, seed, width=len(scored)):
        resampled[part] = figures(times_RP)
    return Scoring(
        score_NF=score_NF,
        threshold_F=threshold_F,
        calls=calls,
        figure_MF1=figures(np.ones((1, patients)))[0],
        resampled_RMF1=resampled,
    )


def _thresholds(sample: Sample, score_NF: Values) -> Values:
    thresholds = []
    for f in range(len(sample.findings)):
        tuned = sample.tuned_N & sample.known_NF[:, f]
        there = tuned.any()
        thresholds.append(upper_left(score_NF[tuned, f], sample.present_NF[tuned, f]) if there else np.nan)
    return np.array(thresholds)


def _calls(
    sample: Sample,
    score_NF: Values,
    threshold_F: Values,
    scored: NDArray[np.intp],
    patient_S: NDArray[np.intp],
) -> Calls:
    counted_SF = sample.known_NF[scored] & ~np.isnan(threshold_F)
    called_SF = score_NF[scored] >= threshold_F
    present_SF = sample.present_NF[scored]

    def by_patient(flags_SF: NDArray[np.bool_]) -> Values:
        sums = np.zeros((int(patient_S.max()) + 1, flags_SF.shape[1]))
        np.add.at(sums, patient_S, flags_SF & counted_SF)
        return sums

    return Calls(
        true_positives=by_patient(called_SF & present_SF),
        false_positives=by_patient(called_SF & ~present_SF),
        positives=by_patient(present_SF),
        negatives=by_patient(~present_SF),
    )
