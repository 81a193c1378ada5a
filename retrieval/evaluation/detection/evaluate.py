"""All figures of a model's scores, and of two models side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoders.abnormalities import DEFAULT_PROMPT
from encoders.errors import ConfigError
from retrieval.evaluation.detection.measures import Values
from retrieval.evaluation.detection.permutation import permutation_p_values
from retrieval.evaluation.detection.sample import FindingSet, Sample, sample_of
from retrieval.evaluation.detection.scored_pool import ScoredPool, shared_scores
from retrieval.evaluation.detection.scoring import Scoring, interval_of, judge
from retrieval.evaluation.ranking import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOptions:
    """How scores are judged."""

    finding_set: FindingSet = "auto"
    threshold_share: float = 0.1  # of the patients, who choose the thresholds and are not scored
    resamples: int = 1000
    permutations: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.threshold_share < 1:
            raise ConfigError(
                f"--threshold-share {self.threshold_share} is no share of the patients: take one between "
                "0 and 1, as 0.1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A judged model.

    Attributes:
        scored: what was judged.
        sample: by what.
        scoring: the figures; those of the default prompt pair where there are prompts.
        prompts: the figures by each prompt pair.
    """

    scored: ScoredPool
    options: DetectionOptions
    sample: Sample
    scoring: Scoring
    prompts: Mapping[str, Scoring]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for a person: of the input, of findings left out, of thresholds that are missing."""
        said = list(self.scored.pool.warnings)
        for reason in dict.fromkeys(self.sample.left_out.values()):
            findings = [finding for finding, of in self.sample.left_out.items() if of == reason]
            said.append(f"{', '.join(findings)}: left out, {reason}")
        without = [
            finding
            for finding, threshold in zip(self.sample.findings, self.scoring.threshold_F, strict=True)
            if np.isnan(threshold)
        ]
        if without:
            said.append(
                f"no threshold could be chosen for {', '.join(without)}: the {self.tuned_patients} patients "
                "that choose them do not have both kinds; raise --threshold-share"
            )
        return tuple(said)

    @property
    def tuned_patients(self) -> int:
        """How many patients choose the thresholds."""
        return len(np.unique(self.sample.patient_N[self.sample.tuned_N]))


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionComparison:
    """Two models on the same volumes.

    Attributes:
        first, other: both cut to the volumes they share, judged by the first one's labels.
        difference_MF1: first less other.
        interval_MF12: of the differences, in the same resamples.
        p_MF1: of the paired permutation test.
    """

    first: Detection
    other: Detection
    difference_MF1: Values
    interval_MF12: Values
    p_MF1: Values


def detect(scored: ScoredPool, options: DetectionOptions, progress: Progress | None = None) -> Detection:
    """Judge a model's scores.

    Raises:
        InputError: as for `sample_of`.
    """
    pool = scored.pool
    sample = sample_of(
        pool, finding_set=options.finding_set, share=options.threshold_share, seed=options.seed
    )
    others = {name: score_NC for name, score_NC in scored.prompts.items() if name != DEFAULT_PROMPT}
    judged = {}
    for done, (name, score_NC) in enumerate([(DEFAULT_PROMPT, scored.score_NC), *others.items()], start=1):
        judged[name] = judge(sample, sample.scores(score_NC), resamples=options.resamples, seed=options.seed)
        if progress is not None:
            progress.update(done=done, total=len(others) + 1, failed=0, step="bootstrap")
    return Detection(
        scored=scored,
        options=options,
        sample=sample,
        scoring=judged[DEFAULT_PROMPT],
        prompts={name: judged[name] for name in scored.prompts},
    )


def compare_detection(
    first: ScoredPool, other: ScoredPool, options: DetectionOptions, progress: Progress | None = None
) -> DetectionComparison:
    """Judge two models on the volumes they share, each by thresholds of its own, and test the differences.

    Raises:
        InputError: they share no volume, or as for `sample_of`.
    """
    first, other = shared_scores(first, other)
    one, two = detect(first, options, progress), detect(other, options, progress)
    difference_MF1 = one.scoring.figure_MF1 - two.scoring.figure_MF1
    return DetectionComparison(
        first=one,
        other=two,
        difference_MF1=difference_MF1,
        interval_MF12=interval_of(
            one.scoring.resampled_RMF1 - two.scoring.resampled_RMF1, ~np.isnan(difference_MF1)
        ),
        p_MF1=permutation_p_values(
            one.sample, one.scoring, two.scoring, permutations=options.permutations, seed=options.seed
        ),
    )
