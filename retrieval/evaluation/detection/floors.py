"""What a program that looks at nothing gets: it calls every volume absent, or every one present."""

import numpy as np

from retrieval.evaluation.detection.measures import Values, figures_by_threshold, with_mean
from retrieval.evaluation.detection.sample import Sample

AUROC_FLOOR = 0.5


def constant_figures(sample: Sample, threshold_F: Values) -> dict[str, Values]:
    """Return F1, accuracy and precision (3, F + 1) of "all_absent" and "all_present", on the scored volumes.

    The mean is over the findings that have a threshold, as that of a model is.
    """
    scored = ~sample.tuned_N
    known_SF, present_SF = sample.known_NF[scored], sample.present_NF[scored]
    positives = (known_SF & present_SF).sum(axis=0)
    negatives = (known_SF & ~present_SF).sum(axis=0)
    nothing = np.zeros_like(positives)
    without = np.isnan(threshold_F)
    floors = {
        "all_absent": figures_by_threshold(nothing, nothing, positives, negatives),
        "all_present": figures_by_threshold(positives, negatives, positives, negatives),
    }
    means = {name: with_mean(np.where(without, np.nan, of))[:, -1:] for name, of in floors.items()}
    return {name: np.concatenate([of, means[name]], axis=1) for name, of in floors.items()}
