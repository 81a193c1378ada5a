"""How encoders find phantoms that they have not seen, beside one that knows the answers and one that cannot.

The figures say that encoder, training and search work together. They say nothing about patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from retrieval.evaluation.detection.measures import Ordered
from retrieval.evaluation.resampling import patient_draws, percentile_interval
from retrieval.metrics import label_iou, label_overlap_at_k, studies_before
from training.phantom_cohorts import Cohort, Encoded

Values = NDArray[np.float64]
FIGURES = ("recall_5", "recall_10", "overlap_10", "named_10", "zero_shot_auroc")
"""Report to volume: share of reports whose scan is among the 5, the 10 best scans. Volume to volume: mean
label IoU of the ten nearest, own scan excluded. Name to volume: share of the ten volumes nearest to the
name of a finding that show it, mean over the findings. Mean AUROC of the findings' prompts."""
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, and the ends of its 95 % interval by patient."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One encoder on one cohort: what each report and each volume was worth."""

    cohort: Cohort
    hit_KS: Values  # 1 where the scan was among the first 5, 10
    overlap_V: Values
    score_VC: Values
    named_VC: Values

    def figures(self, weight_RP: Values) -> Values:
        """The mean of each of `FIGURES` under each weighting of the patients, (R, 5); NaN: there is none."""
        weight_RS = weight_RP[:, self.cohort.patient_S]
        weight_RV = weight_RS[:, self.cohort.study_V]
        recalls = [_mean(hit_S, weight_RS) for hit_S in self.hit_KS]
        overlap = _mean(self.overlap_V, weight_RV)
        named, area = (_mean_of_known(of(weight_RV), axis=1) for of in (self.precisions, self.areas))
        return np.stack([*recalls, overlap, named, area], axis=1)

    def precisions(self, weight_RV: Values) -> Values:
        """The share that shows a finding of the ten volumes nearest to its name, (R, 18)."""
        labels_VC = self.cohort.labels_SC[self.cohort.study_V]
        first_KC = np.argsort(-self.named_VC, axis=0, kind="stable")[:10]
        shown_KC = np.take_along_axis(labels_VC, first_KC, axis=0)
        weight_RKC = weight_RV[:, first_KC]
        total_RC = weight_RKC.sum(axis=1)
        hit_RC = (weight_RKC * shown_KC).sum(axis=1)
        asked = labels_VC.any(axis=0) & ~np.isnan(self.named_VC).any(axis=0)
        nothing = np.full_like(hit_RC, np.nan)
        share_RC: Values = np.divide(hit_RC, total_RC, out=nothing, where=asked & (total_RC > 0))
        return share_RC

    def areas(self, weight_RV: Values) -> Values:
        """The AUROC of each finding under each weighting of the volumes, (R, 18); NaN: there is none."""
        if np.isnan(self.score_VC).any():
            return np.full((len(weight_RV), len(ABNORMALITIES)), np.nan)
        labels_VC = self.cohort.labels_SC[self.cohort.study_V]
        known = np.ones(len(labels_VC), dtype=np.bool_)
        columns = zip(self.score_VC.T, labels_VC.T, strict=True)
        return np.stack(
            [Ordered.of(score_V, present_V, known).auroc(weight_RV) for score_V, present_V in columns], axis=1
        )


def judge(cohort: Cohort, encoded: Encoded) -> Judged:
    """Let an encoder find the scans of a cohort."""
    return _judged(
        cohort,
        encoded.report_SL @ encoded.volume_VL.T,
        encoded.volume_VL @ encoded.volume_VL.T,
        encoded.score_VC,
        encoded.named_VC,
    )


def judge_labels(cohort: Cohort) -> Judged:
    """Let one find them that knows the true labels of either side, and nothing else."""
    labels_VC = cohort.labels_SC[cohort.study_V]
    untie = _untie(len(labels_VC))
    return _judged(
        cohort,
        label_iou(cohort.labels_SC, labels_VC) + untie[: len(cohort.labels_SC)],
        label_iou(labels_VC, labels_VC) + untie,
        *_unread(cohort),
    )


def judge_nuisance(cohort: Cohort) -> Judged:
    """Let one find them that sees body size, noise, kernel and table, which no report tells of."""
    apart = cohort.nuisance_VF[:, None, :] - cohort.nuisance_VF[None, :, :]
    near = -np.square(apart).sum(2) + _untie(len(apart))
    unread = np.full((2, len(cohort.labels_SC)), np.nan)
    return Judged(cohort, unread, _overlaps(cohort, near), *_unread(cohort))


def judge_chance(cohort: Cohort) -> Judged:
    """What one that knows nothing finds on average."""
    scans = len(cohort.labels_SC)
    hits = np.stack([np.full(scans, min(1.0, k / scans)) for k in (5, 10)])
    labels_VC = cohort.labels_SC[cohort.study_V]
    anything = np.zeros((len(labels_VC), len(labels_VC)))
    overlap_V = label_overlap_at_k(anything, labels_VC, cohort.study_V, len(labels_VC))
    return Judged(cohort, hits, overlap_V, np.zeros(labels_VC.shape), _unread(cohort)[0])


REFERENCES = {
    "chance": judge_chance,
    "sees nuisance alone": judge_nuisance,
    "knows the labels": judge_labels,
}


def resampled(cohorts: Sequence[Judged], seed: int = 0) -> Values:
    """Return `FIGURES`, mean over the cohorts, (1 + RESAMPLES, 5): as they are, then of each resample.

    Each resample draws patients of every cohort. The seed alone decides which, so that what two encoders got
    on the same cohorts may be averaged or subtracted row by row.
    """
    each = [one.figures(_weights(one.cohort, seed + n)) for n, one in enumerate(cohorts)]
    mean: Values = np.mean(each, axis=0)
    return mean


def with_intervals(resampled_R5: Values) -> list[Figure]:
    """Return each figure with its interval, of what `resampled` returns or a mean or difference of it."""
    return [
        Figure(float(column[0]), *map(float, percentile_interval(column[1:])))
        if not np.isnan(column[0])
        else Figure(float("nan"), float("nan"), float("nan"))
        for column in resampled_R5.T
    ]


def areas_by_finding(runs: Sequence[Sequence[Judged]]) -> dict[str, float]:
    """Return the zero-shot AUROC of each finding, mean over encoders and cohorts."""
    areas = [one.areas(np.ones((1, len(one.cohort.study_V))))[0] for run in runs for one in run]
    return dict(zip(ABNORMALITIES, map(float, _mean_of_known(np.array(areas), axis=0)), strict=True))


def _weights(cohort: Cohort, seed: int) -> Values:
    """How often each patient counts: once in the first row, then as often as it is drawn."""
    patients = int(cohort.patient_S.max()) + 1
    drawn = [times for _, times in patient_draws(patients, RESAMPLES, seed)]
    return np.concatenate([np.ones((1, patients)), *drawn])


def _judged(cohort: Cohort, report_SV: Values, near_VV: Values, score_VC: Values, named_VC: Values) -> Judged:
    before_S = studies_before(report_SV, np.arange(len(report_SV)), cohort.study_V)
    hits = np.stack([before_S < k for k in (5, 10)]).astype(np.float64)
    return Judged(cohort, hits, _overlaps(cohort, near_VV), score_VC, named_VC)


def _overlaps(cohort: Cohort, near_VV: Values) -> Values:
    return label_overlap_at_k(near_VV, cohort.labels_SC[cohort.study_V], cohort.study_V, 10)


def _unread(cohort: Cohort) -> tuple[Values, Values]:
    """Scores and nearness of what reads no prompts."""
    nothing = np.full((len(cohort.study_V), len(ABNORMALITIES)), np.nan)
    return nothing, nothing


def _untie(volumes: int) -> Values:
    """Less than any difference of what is compared: labels tie, and nuisance may."""
    return np.random.default_rng(0).uniform(0, 1e-6, (volumes, volumes))


def _mean_of_known(value: Values, axis: int) -> Values:
    known = ~np.isnan(value)
    total, count = np.nansum(value, axis=axis), known.sum(axis=axis)
    mean: Values = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _mean(value_Q: Values, weight_RQ: Values) -> Values:
    mean: Values = weight_RQ @ value_Q / weight_RQ.sum(axis=1)
    return mean
