"""An evaluation of detection as one JSON document."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from encoders.abnormalities import DEFAULT_PROMPT, PROMPTS
from retrieval.evaluation.detection.evaluate import Detection, DetectionComparison
from retrieval.evaluation.detection.floors import AUROC_FLOOR, constant_figures
from retrieval.evaluation.detection.measures import BY_THRESHOLD, METRICS, Values
from retrieval.evaluation.detection.scoring import Scoring
from retrieval.evaluation.figures import number
from retrieval.evaluation.resampling import LEVEL

DEFINITIONS: dict[str, str] = {
    "scored": "volumes of the patients that choose no threshold; every figure is of these alone",
    "auroc": "share of pairs of a volume with and one without the finding in which the first scores higher, "
    "ties counting half",
    "f1": "F1 of present and of absent, weighted by how many volumes each is true of",
    "accuracy": "share of the volumes that are called rightly",
    "precision": "share of the volumes called present that are; 0 where none is called so",
    "thresholds": "a volume with this score or more is called present: the point of the ROC nearest to its "
    "upper left corner, on a share of the patients drawn by the seed",
    "support": "scored volumes known to have the finding",
    "volumes": "scored volumes of which the finding is known; unknown labels count nowhere",
    "mean": "over the findings that have the figure",
    "floor": "what calling every volume absent, or every volume present, gets; AUROC of any constant is .5",
    "interval": "percentile bootstrap over patients, thresholds as they were chosen",
    "p": "two-sided paired permutation test: ranks (auroc) and calls (the others) of the two are swapped for "
    "whole patients",
}


def detection_document(result: Detection | DetectionComparison) -> dict[str, Any]:
    """Return what `ctsearch evaluate detection --json` prints."""
    if isinstance(result, Detection):
        return _document(result)
    other = _document(result.other)
    about = {
        "permutations": result.first.options.permutations,
        "by": "patient",
        "seed": result.first.options.seed,
    }
    findings = result.first.sample.findings
    compared = [
        {
            metric: {
                "difference": number(result.difference_MF1[m, f]),
                "interval": _ends(result.interval_MF12[m, f]),
                "p": number(result.p_MF1[m, f]),
            }
            for m, metric in enumerate(METRICS)
        }
        for f in range(len(findings) + 1)
    ]
    return {
        **_document(result.first),
        "against": {name: other[name] for name in ("pool", "findings", "mean", "warnings")},
        "comparison": {
            **about,
            "findings": dict(zip(findings, compared[:-1], strict=True)),
            "mean": compared[-1],
        },
    }


def _document(detection: Detection) -> dict[str, Any]:
    sample, options = detection.sample, detection.options
    figures = _figures(detection.scoring)
    floors = _floors(detection)
    findings = {
        finding: {
            **figures[f],
            **_counts(detection, f),
            "threshold": number(detection.scoring.threshold_F[f]),
            "floor": floors[f],
        }
        for f, finding in enumerate(sample.findings)
    }
    return {
        "pool": _pool(detection),
        "finding_set": sample.finding_set,
        "thresholds": {
            "share": options.threshold_share,
            "seed": options.seed,
            "by": "patient",
            "patients": detection.tuned_patients,
            "volumes": int(sample.tuned_N.sum()),
        },
        "findings": findings,
        "mean": {**figures[-1], "findings": len(sample.findings), "floor": floors[-1]},
        "prompts": {
            name: _prompt(name, scoring, sample.findings) for name, scoring in detection.prompts.items()
        },
        "left_out": dict(sample.left_out),
        "interval": {
            "level": LEVEL,
            "resamples": options.resamples,
            "by": "patient",
            "seed": options.seed,
        },
        "definitions": DEFINITIONS,
        "warnings": list(detection.warnings),
    }


def _pool(detection: Detection) -> dict[str, Any]:
    pool, scored = detection.scored.pool, ~detection.sample.tuned_N
    return {
        "source": pool.source,
        "volumes": len(pool.name_N),
        "studies": len(np.unique(pool.study_N)),
        "patients": len(np.unique(pool.patient_N)),
        "scored": {
            "volumes": int(scored.sum()),
            "studies": len(np.unique(pool.study_N[scored])),
            "patients": len(np.unique(pool.patient_N[scored])),
        },
        "unknown_labels": pool.unknown,
        "left_out": pool.left_out,
        "phantom": pool.is_phantom,
    }


def _figures(scoring: Scoring) -> list[dict[str, Any]]:
    """Return the figures of each finding, then of their mean, with their intervals."""
    interval_MF12 = scoring.intervals
    return [
        {
            **{metric: number(scoring.figure_MF1[m, f]) for m, metric in enumerate(METRICS)},
            "interval": {metric: _ends(interval_MF12[m, f]) for m, metric in enumerate(METRICS)},
        }
        for f in range(scoring.figure_MF1.shape[1])
    ]


def _counts(detection: Detection, f: int) -> dict[str, Any]:
    """Return how many volumes a finding is known of, and its confusion matrix where it has a threshold."""
    sample, calls = detection.sample, detection.scoring.calls
    known_N = ~sample.tuned_N & sample.known_NF[:, f]
    support, volumes = int((known_N & sample.present_NF[:, f]).sum()), int(known_N.sum())
    if np.isnan(detection.scoring.threshold_F[f]):
        return {"support": support, "volumes": volumes, "confusion": None}
    found, false = int(calls.true_positives[:, f].sum()), int(calls.false_positives[:, f].sum())
    confusion = {
        "true_positives": found,
        "false_positives": false,
        "false_negatives": support - found,
        "true_negatives": volumes - support - false,
    }
    return {"support": support, "volumes": volumes, "confusion": confusion}


def _floors(detection: Detection) -> list[dict[str, Any]]:
    constants = constant_figures(detection.sample, detection.scoring.threshold_F)
    return [
        {
            "auroc": AUROC_FLOOR,
            **{
                name: {metric: number(of[m, f]) for m, metric in enumerate(BY_THRESHOLD)}
                for name, of in constants.items()
            },
        }
        for f in range(len(detection.sample.findings) + 1)
    ]


def _prompt(name: str, scoring: Scoring, findings: Sequence[str]) -> dict[str, Any]:
    pair, figures = PROMPTS[name], _figures(scoring)
    return {
        "present": pair.present,
        "absent": pair.absent,
        "default": name == DEFAULT_PROMPT,
        "mean": figures[-1],
        "findings": dict(zip(findings, figures[:-1], strict=True)),
    }


def _ends(ends: Values) -> list[float | None]:
    return [number(end) for end in ends]
