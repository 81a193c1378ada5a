"""Figures as pictures, by matplotlib (imported here alone): curves over K, latents on a plane."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import ConfigError
from retrieval.atomic_file import written_atomically
from retrieval.evaluation.curves import Curve
from retrieval.evaluation.pool import Pool

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f6fb2", "#d1632a")  # what is evaluated, and what it is compared with
_FLOORS = {"random": ("#555555", "--"), "siblings first": ("#2e8b57", ":")}
_UNKNOWN, _ABSENT, _PRESENT = "#efefef", "#d5d5d5", "#b3202c"
_DPI = 130
_COLUMNS = 6  # of the findings' grid


def require_matplotlib() -> None:
    """Look for the library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "the plots need matplotlib, which is not installed: pip install 'ctsearch[evaluate]'"
        ) from error


def draw_curves(panels: Sequence[tuple[str, Sequence[Curve]]], title: str, path: Path) -> None:
    """Draw a panel for each measure: its curves over K with their 95 % intervals, and its floors.

    Args:
        panels: what each is called, and what stands in it.
        title: above all of them.
        path: the .png to write.

    Raises:
        ConfigError: matplotlib is not installed.
        StorageError: the file cannot be written.
    """
    rows = (len(panels) + 4) // 4  # a place is left for the legend
    figure = blank_figure((15, 3.7 * rows))
    axes = figure.subplots(rows, 4, squeeze=False).ravel()
    shown: dict[str, object] = {}
    for axis, (name, curves) in zip(axes, panels, strict=False):
        for curve in curves:
            shown.setdefault(curve.name, _draw_curve(axis, curve))
        _finish_panel(axis, name, curves)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    axes[len(panels)].legend(shown.values(), shown.keys(), loc="center", frameon=False, fontsize=11)
    figure.suptitle(title, fontsize=13)
    save_figure(figure, path)


def _draw_curve(axis: "Axes", curve: Curve) -> object:
    if curve.system is None:
        colour, style = _FLOORS[curve.name]
        return axis.plot(curve.ks, curve.values, color=colour, linestyle=style, linewidth=1.4)[0]
    colour = COLOURS[curve.system]
    if curve.ends is not None:
        axis.fill_between(curve.ks, curve.ends[:, 0], curve.ends[:, 1], color=colour, alpha=0.18, linewidth=0)
    marker = "os"[curve.system]
    face = colour if curve.system == 0 else "white"  # the second lets the first be seen where they agree
    return axis.plot(
        curve.ks, curve.values, color=colour, marker=marker, markersize=5, markerfacecolor=face, linewidth=1.6
    )[0]


def _finish_panel(axis: "Axes", name: str, curves: Sequence[Curve]) -> None:
    ks = curves[0].ks
    axis.set_xscale("log")
    axis.set_xticks(ks, [str(k) for k in ks])
    axis.minorticks_off()
    highest = [curve.values if curve.ends is None else curve.ends[:, 1] for curve in curves]
    axis.set_ylim(0, min(1.02, float(np.nanmax(np.concatenate(highest), initial=0.0)) * 1.1 + 1e-3))
    axis.set_title(name, fontsize=11)
    axis.set_xlabel("K")
    axis.grid(alpha=0.25)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def draw_findings(pool: Pool, rows: NDArray[np.intp], place_P2: NDArray[np.float64], path: Path) -> None:
    """Draw the plane once for each of the 18 findings, the volumes that have it in colour.

    Args:
        pool: whose volumes they are.
        rows: which of them are laid out.
        place_P2: where.
        path: the .png to write.
    """
    figure = blank_figure((15, 8.6))
    size = _point_size(len(rows))
    for axis, finding, present, known in zip(
        figure.subplots(3, _COLUMNS).ravel(),
        ABNORMALITIES,
        pool.present_NC[rows].T,
        pool.known_NC[rows].T,
        strict=True,
    ):
        for kept, colour in ((~known, _UNKNOWN), (known & ~present, _ABSENT), (present, _PRESENT)):
            axis.scatter(place_P2[kept, 0], place_P2[kept, 1], s=size, color=colour, linewidths=0)
        unknown = f", {int((~known).sum()):,} unknown" if not known.all() else ""
        axis.set_title(f"{finding}\n{int(present.sum()):,}{unknown}", fontsize=9)
        _plane(axis)
    figure.suptitle(_about(pool, rows, "by finding (how many have it)"), fontsize=13)
    save_figure(figure, path)


def draw_number_of_findings(
    pool: Pool, rows: NDArray[np.intp], place_P2: NDArray[np.float64], path: Path
) -> None:
    """Draw the plane, coloured by how many findings a volume has."""
    number = pool.present_NC[rows].sum(axis=1).astype(np.float64)
    _draw_scale(pool, rows, place_P2, path, number, "number of abnormalities")


def draw_ages(pool: Pool, rows: NDArray[np.intp], place_P2: NDArray[np.float64], path: Path) -> None:
    """Draw the plane, coloured by age; volumes of unknown age are grey."""
    _draw_scale(pool, rows, place_P2, path, pool.age_N[rows], "age in years")


def _draw_scale(
    pool: Pool,
    rows: NDArray[np.intp],
    place_P2: NDArray[np.float64],
    path: Path,
    value: NDArray[np.float64],
    what: str,
) -> None:
    figure = blank_figure((8.4, 7.2))
    axis = figure.subplots()
    known = ~np.isnan(value)
    size = 3 * _point_size(len(rows))
    axis.scatter(place_P2[~known, 0], place_P2[~known, 1], s=size, color=_ABSENT, linewidths=0)
    x, y = place_P2[known].T
    shown = axis.scatter(x, y, s=size, c=value[known], cmap="viridis", linewidths=0)
    figure.colorbar(shown, ax=axis, label=what, shrink=0.8)
    _plane(axis)
    unknown = f", {int((~known).sum()):,} unknown" if not known.all() else ""
    axis.set_title(_about(pool, rows, f"by {what}{unknown}"), fontsize=11)
    save_figure(figure, path)


def _plane(axis: "Axes") -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_aspect("equal", adjustable="datalim")
    for side in axis.spines.values():
        side.set_color("#bbbbbb")


def _point_size(points: int) -> float:
    return float(np.clip(9000 / max(points, 1), 2.5, 18))


def _about(pool: Pool, rows: NDArray[np.intp], what: str) -> str:
    of = f"{len(rows):,}" if len(rows) == len(pool.name_N) else f"{len(rows):,} of {len(pool.name_N):,}"
    return f"{pool.called}: t-SNE of {of} volume latents, {what}"


def blank_figure(inches: tuple[float, float]) -> "Figure":
    """Return an empty figure that lays out its parts without overlaps.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=inches, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as .png.

    Raises:
        StorageError: the file cannot be written.
    """
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    with written_atomically(path) as stream:
        stream.write(drawn.getvalue())
