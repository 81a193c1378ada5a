"""Clinical efficacy: which of the 18 findings generated reports name, against those that references name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chat.answers_file import Answered
from chat.measures import Measure
from encoders.abnormalities import ABNORMALITIES
from encoders.report_labels import LabelExtractor
from retrieval.evaluation.detection.measures import ratio
from retrieval.evaluation.resampling import Values

_F = len(ABNORMALITIES)
AVERAGES = ("micro", "macro", "weighted")
_RATES = ("precision", "recall", "f1")


def clinical_measures(named_NF: NDArray[np.bool_], should_NF: NDArray[np.bool_]) -> dict[str, Measure]:
    """Return precision, recall and F1 over the findings, as "clinical_micro_f1".

    micro: over all findings together; macro: mean over the findings that a report names at all; weighted:
    mean over findings by how many references name them. A rate without a case is 0, as scikit-learn has it.

    Args:
        named_NF: what each generated report names.
        should_NF: what each reference names.
    """
    sums = np.concatenate([named_NF & should_NF, named_NF & ~should_NF, ~named_NF & should_NF], axis=1)
    return {
        f"clinical_{average}_{rate}": Measure(sums.astype(np.float64), _averaged(average, place))
        for average in AVERAGES
        for place, rate in enumerate(_RATES)
    }


def by_finding(named_NF: NDArray[np.bool_], should_NF: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Return support, precision, recall and F1 of each finding."""
    hit, wrong, missed = (named_NF & should_NF), (named_NF & ~should_NF), (~named_NF & should_NF)
    rates_3F = _rates(*(each.sum(axis=0).astype(np.float64) for each in (hit, wrong, missed)))
    return {
        name: {
            "support": int(should_NF[:, place].sum()),
            **{rate: float(rates_3F[row][place]) for row, rate in enumerate(_RATES)},
        }
        for place, name in enumerate(ABNORMALITIES)
    }


@dataclass(slots=True)
class ReadOnce:
    """An extractor that reads each text once: floors repeat the references, and one answer over and over."""

    extractor: LabelExtractor
    _known: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The extractor's."""
        return self.extractor.name

    def label_reports(self, reports: Sequence[str]) -> NDArray[np.bool_]:
        """Return what each report names, (N, 18)."""
        new = [text for text in dict.fromkeys(reports) if text not in self._known]
        if new:
            self._known.update(zip(new, self.extractor.label_reports(new), strict=True))
        return np.array([self._known[text] for text in reports])


def labels_of(
    answers: Sequence[Answered], extractor: LabelExtractor
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what answers name and what references name, each (N, 18)."""
    named = extractor.label_reports([one.answer for one in answers])
    return named, extractor.label_reports([one.reference for one in answers])


def _averaged(average: str, rate: int) -> Callable[[Values], Values]:
    def value(sums_RS: Values) -> Values:
        hit, wrong, missed = (sums_RS[:, start : start + _F] for start in (0, _F, 2 * _F))
        if average == "micro":
            return _rates(hit.sum(axis=1), wrong.sum(axis=1), missed.sum(axis=1))[rate]
        weight = hit + missed if average == "weighted" else (hit + wrong + missed > 0).astype(np.float64)
        return ratio(((_rates(hit, wrong, missed)[rate]) * weight).sum(axis=1), weight.sum(axis=1))

    return value


def _rates(hit: Values, wrong: Values, missed: Values) -> tuple[Values, Values, Values]:
    return ratio(hit, hit + wrong), ratio(hit, hit + missed), ratio(2 * hit, 2 * hit + wrong + missed)
