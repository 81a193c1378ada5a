"""Trees that fill a lung: arteries, veins, and the airways beside the arteries."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from retrieval.datasets.phantom.anatomy import Anatomy, Side
from retrieval.datasets.phantom.canvas import Floats, Segments, floats

_LEVELS = 8
_MURRAY = 1 / 2.7  # radius falls with the share of the lung supplied to this power (C. D. Murray, PNAS 1926)


@dataclass(frozen=True)
class LungTree:
    """The branches of one lung; `level` counts divisions from the hilum."""

    arteries: Segments
    veins: Segments
    airways: Segments
    level: "np.ndarray"


@lru_cache(maxsize=8)
def lung_tree(anatomy: Anatomy, side: Side) -> LungTree:
    """Grow the vessels and airways of one lung; the same anatomy gives the same tree."""
    rng = np.random.default_rng([anatomy.seed, 1 if side == "left" else 2])
    arteries, levels = _grow(anatomy, side, rng, radius_mm=7.5)
    veins, _ = _grow(anatomy, side, rng, radius_mm=6.5)
    beside = floats([1.0, 0.3, -0.9]) * (arteries.start_radius + 1.2)[:, None]
    beside_end = floats([1.0, 0.3, -0.9]) * (arteries.end_radius + 1.2)[:, None]
    near = levels <= 5
    airways = Segments(
        (arteries.start + beside)[near],
        (arteries.end + beside_end)[near],
        (arteries.start_radius * np.float32(0.80))[near],
        (arteries.end_radius * np.float32(0.80))[near],
    )
    return LungTree(arteries, veins, airways, levels[near])


def _grow(
    anatomy: Anatomy, side: Side, rng: np.random.Generator, *, radius_mm: float
) -> tuple[Segments, np.ndarray]:
    """Divide the lung into halves again and again, and lead a branch to each half."""
    leaves = 2**_LEVELS
    targets = anatomy.places(rng, 5 * leaves, margin_mm=5.0)
    targets = targets[(targets[:, 1] > 0) == (side == "left")]
    targets = targets[np.arange(leaves) % len(targets)]
    nodes = floats([anatomy.hilum(side)])
    parts: list[Segments] = []
    levels: list[np.ndarray] = []
    sets = targets[None]
    for level in range(_LEVELS):
        sets = _halved(sets)
        centres = sets.mean(1)
        parents = np.repeat(nodes, 2, axis=0)
        reach = floats((0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.75, 1.0)[level])
        nodes = parents + reach * (centres - parents)
        nodes += rng.normal(0, 1.5, nodes.shape).astype(np.float32)
        start = radius_mm * (2.0**-level) ** _MURRAY * (0.95 if level else 1.0)
        end = radius_mm * (2.0 ** -(level + 1)) ** _MURRAY
        count = len(nodes)
        parts.append(
            Segments(parents, nodes, np.full(count, start * 0.9, np.float32), np.full(count, end, np.float32))
        )
        levels.append(np.full(count, level))
    return Segments.joined(parts), np.concatenate(levels)


def _halved(sets: Floats) -> Floats:
    """Split each set of points (S, M, 3) into two along its longest direction."""
    longest = sets.var(1).argmax(1)
    keys = np.take_along_axis(sets, longest[:, None, None], 2)[:, :, 0]
    order = np.argsort(keys, axis=1)
    ordered = np.take_along_axis(sets, order[:, :, None], 1)
    return ordered.reshape(2 * len(sets), sets.shape[1] // 2, 3)
