"""ROC curves and confusion matrices, a panel a finding."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.evaluation.detection.evaluate import Detection
from retrieval.evaluation.detection.measures import Values
from retrieval.evaluation.detection.thresholds import roc_points
from retrieval.evaluation.plots import COLOURS, blank_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_COLUMNS = 6
_DARK = 0.6  # of a cell, from which on its number is white


def draw_roc_curves(detections: Sequence[Detection], path: Path) -> None:
    """Draw each finding's ROC on the scored volumes, its chosen threshold as a dot, and chance.

    Args:
        detections: one model, or two of the same volumes.
        path: the .png to write.

    Raises:
        ConfigError: matplotlib is not installed.
        StorageError: the file cannot be written.
    """
    findings = detections[0].sample.findings
    figure, axes = _panels(len(findings), panel_inches=(2.55, 2.95))
    shown: dict[str, Line2D] = {}
    for f, (axis, finding) in enumerate(zip(axes, findings, strict=True)):
        axis.plot([0, 1], [0, 1], color="#555555", linestyle="--", linewidth=1)
        lines = [_draw_roc(axis, detection, f, system) for system, detection in enumerate(detections)]
        for detection, line in zip(detections, lines, strict=True):
            shown.setdefault(detection.scored.pool.called, line)
        aurocs = "\n".join(_auroc(detection, f) for detection in detections)
        axis.set_title(f"{finding}\n{aurocs}", fontsize=8.5)
        _unit_square(axis)
    if len(detections) > 1:
        figure.legend(
            shown.values(), shown.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize=10
        )
    _label_outer(axes, "false positive rate", "true positive rate")
    names = " against ".join(detection.scored.pool.called for detection in detections)
    figure.suptitle(
        f"{names}, {_volumes(detections[0])}: AUROC with 95 % interval; dots: the chosen thresholds",
        fontsize=12,
    )
    save_figure(figure, path)


def draw_confusion_matrices(detection: Detection, path: Path) -> None:
    """Draw each finding's confusion matrix on the scored volumes, shaded by the share of each row.

    Args:
        detection: one model.
        path: the .png to write.

    Raises:
        ConfigError: matplotlib is not installed.
        StorageError: the file cannot be written.
    """
    findings = detection.sample.findings
    figure, axes = _panels(len(findings), panel_inches=(2.55, 2.55))
    for f, (axis, finding) in enumerate(zip(axes, findings, strict=True)):
        axis.set_title(finding, fontsize=8.5)
        if np.isnan(detection.scoring.threshold_F[f]):
            _leave_empty(axis)
            axis.text(0.5, 0.5, "no threshold", ha="center", va="center", color="#555555", fontsize=9)
        else:
            _draw_matrix(axis, _matrix(detection, f))
    _label_outer(axes, "called", "label")
    figure.suptitle(
        f"{detection.scored.pool.called}, {_volumes(detection)}: confusion matrices at the chosen "
        "thresholds, shaded by row",
        fontsize=12,
    )
    save_figure(figure, path)


def _panels(count: int, panel_inches: tuple[float, float]) -> "tuple[Figure, list[Axes]]":
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    width, height = panel_inches
    figure = blank_figure((max(columns * width, 7.5) + 0.4, rows * height + 0.8))
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes[:count]


def _label_outer(axes: "Sequence[Axes]", across: str, up: str) -> None:
    """Name the axes below the lowest panel of each column, and left of each row."""
    for place, axis in enumerate(axes):
        if place + _COLUMNS >= len(axes):
            axis.set_xlabel(across, fontsize=8.5)
        if place % _COLUMNS == 0:
            axis.set_ylabel(up, fontsize=8.5)


def _leave_empty(axis: "Axes") -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_aspect("equal")
    for side in axis.spines.values():
        side.set_color("#e5e5e5")


def _draw_roc(axis: "Axes", detection: Detection, f: int, system: int) -> "Line2D":
    sample, scoring = detection.sample, detection.scoring
    counted = ~sample.tuned_N & sample.known_NF[:, f]
    false_rate, true_rate, _ = roc_points(scoring.score_NF[counted, f], sample.present_NF[counted, f])
    (line,) = axis.plot(np.r_[0, false_rate], np.r_[0, true_rate], color=COLOURS[system], linewidth=1.5)
    if not np.isnan(scoring.threshold_F[f]):
        matrix = _matrix(detection, f)
        false, found = matrix[:, 1] / matrix.sum(axis=1)
        axis.plot(false, found, "o", color=COLOURS[system], markersize=5, markeredgecolor="white", zorder=3)
    return line


def _unit_square(axis: "Axes") -> None:
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    axis.set_aspect("equal")
    axis.set_xticks([0, 0.5, 1], ["0", ".5", "1"], fontsize=8)
    axis.set_yticks([0, 0.5, 1], ["0", ".5", "1"], fontsize=8)
    axis.grid(alpha=0.25)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _draw_matrix(axis: "Axes", matrix: Values) -> None:
    share = matrix / matrix.sum(axis=1, keepdims=True)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(matrix):
        dark = share[row, column] > _DARK
        axis.text(
            column,
            row,
            f"{number:,.0f}\n{share[row, column]:.0%}",
            ha="center",
            va="center",
            color="white" if dark else "#222222",
            fontsize=9,
        )
    axis.set_xticks([0, 1], ["absent", "present"], fontsize=8)
    axis.set_yticks([0, 1], ["absent", "present"], fontsize=8, rotation=90, va="center")
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_color("#bbbbbb")


def _matrix(detection: Detection, f: int) -> Values:
    """Return volumes by label (absent, present) and call (absent, present)."""
    calls = detection.scoring.calls
    found, false, positive, negative = (
        float(of[:, f].sum())
        for of in (calls.true_positives, calls.false_positives, calls.positives, calls.negatives)
    )
    return np.array([[negative - false, false], [positive - found, found]])


def _auroc(detection: Detection, f: int) -> str:
    low, high = detection.scoring.intervals[0, f]
    return f"{detection.scoring.figure_MF1[0, f]:.3f} ({low:.3f} to {high:.3f})"


def _volumes(detection: Detection) -> str:
    return f"{int((~detection.sample.tuned_N).sum()):,} volumes"
