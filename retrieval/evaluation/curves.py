"""Figures over K, as lines: a system with its intervals, or a floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.evaluate import Evaluation
from retrieval.evaluation.figures import VOLUME_KS, FigurePath, means
from retrieval.evaluation.pool import coded
from retrieval.evaluation.report_to_volume import report_floors, report_values
from retrieval.evaluation.resampling import bootstrap_intervals
from retrieval.evaluation.volume_to_volume import volume_floors, volume_values

_VOLUME_KS = (1, 2, 3, 5, 10, 20, 30, 50)
_REPORT_KS = (1, 2, 5, 10, 20, 50, 100)
_VOLUME_PANELS: dict[str, FigurePath] = {
    "Label overlap": ("label_overlap",),
    "MAP, paper's IoU": ("map", "paper_iou"),
    "MAP, shared label": ("map", "binary"),
    "MAP, all relevant": ("map", "binary_trec"),
}
_REPORT_PANELS: dict[str, FigurePath] = {
    "Report to volume: recall": ("recall",),
    "Report to volume: recall by study": ("recall_by_study",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of a panel.

    Attributes:
        name: in the legend; a floor is called "random" or "siblings first".
        ks, values: the points.
        ends: (points, 2), the interval, where there is one.
        system: 0 for what is evaluated, 1 for what it is compared with, None for a floor.
    """

    name: str
    ks: Sequence[int]
    values: NDArray[np.float64]
    ends: NDArray[np.float64] | None = None
    system: int | None = None


def panels(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[Curve]]]:
    """Return the curves of one evaluation, or of two of the same volumes, by panel."""
    drawn: dict[str, list[Curve]] = {}
    for system, evaluation in enumerate(evaluations):
        for name, curve in _measured(evaluation, system):
            drawn.setdefault(name, []).append(curve)
    for name, curve in _floors(evaluations[0]):
        drawn[name].append(curve)
    return list(drawn.items())


def _measured(evaluation: Evaluation, system: int) -> list[tuple[str, Curve]]:
    reports = evaluation.reports[evaluation.options.section]
    values = volume_values(evaluation.volumes, _VOLUME_KS) | report_values(reports, _REPORT_KS)
    mean = means(values)
    ends = bootstrap_intervals(
        np.stack(list(values.values()), axis=1),
        coded(evaluation.pool.patient_N),
        evaluation.options.resamples,
        evaluation.options.seed,
    )
    end = dict(zip(values, ends, strict=True))
    source = evaluation.pool.called
    lines = [
        (name, _line(source, path, ks, mean, end, system))
        for ks, shown in ((_VOLUME_KS, _VOLUME_PANELS), (_REPORT_KS, _REPORT_PANELS))
        for name, path in shown.items()
    ]
    script = [evaluation.figures["volume_to_volume", "script_cumulative", str(k)] for k in VOLUME_KS]
    return [
        *lines,
        (
            "Published script, cumulative overlap",
            Curve(name=source, ks=VOLUME_KS, values=np.array(script, float), system=system),
        ),
    ]


def _line(
    source: str,
    path: FigurePath,
    ks: Sequence[int],
    mean: Mapping[FigurePath, float | None],
    end: Mapping[FigurePath, NDArray[np.float64]],
    system: int,
) -> Curve:
    paths = [(*path, str(k)) for k in ks]
    return Curve(
        name=source,
        ks=ks,
        values=np.array([mean[one] for one in paths], float),
        ends=np.array([end[one] for one in paths]),
        system=system,
    )


def _floors(evaluation: Evaluation) -> list[tuple[str, Curve]]:
    of_volumes = volume_floors(evaluation.volumes, _VOLUME_KS)
    of_reports = report_floors(evaluation.reports[evaluation.options.section], _REPORT_KS)
    lines = [
        (name, _floor("random", figures, ("floor", "random", *path), ks))
        for ks, shown, figures in (
            (_VOLUME_KS, _VOLUME_PANELS, of_volumes),
            (_REPORT_KS, _REPORT_PANELS, of_reports),
        )
        for name, path in shown.items()
    ]
    of_script = [
        (
            "Published script, cumulative overlap",
            _floor(name, of_volumes, ("floor", key, "script_cumulative"), VOLUME_KS),
        )
        for name, key in (("random", "random"), ("siblings first", "siblings_first"))
    ]
    return [*lines, *of_script]


def _floor(name: str, figures: Mapping[FigurePath, float], path: FigurePath, ks: Sequence[int]) -> Curve:
    return Curve(name=name, ks=ks, values=np.array([figures[*path, str(k)] for k in ks]))
