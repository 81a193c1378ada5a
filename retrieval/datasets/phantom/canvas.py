"""A grid of voxels in millimetres, and the strokes a phantom is drawn with.

Points are (z, x, y) in mm, increasing towards Superior, Left and Posterior, as the voxel axes (D, H, W) do;
the origin is the middle of the chest. Shapes are drawn with partial volume: one scene can be put on any grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]  # float32 in practice
Point = tuple[float, float, float]
Window = tuple[slice, slice, slice]

AIR_HU = -1000.0
_SAMPLES_PER_VOXEL = 2.0  # along each axis, for shapes that are drawn as points
_POINTS_AT_ONCE = 2_000_000  # bounds the memory of one stroke on a fine grid


@dataclass(frozen=True)
class Frame:
    """Where the voxels of a volume lie.

    Attributes:
        start_mm: centre of the first voxel, (z, x, y).
        spacing_mm: distance of voxel centres along (slices, rows, columns).
        shape: voxels along (slices, rows, columns).
    """

    start_mm: Point
    spacing_mm: Point
    shape: tuple[int, int, int]

    @classmethod
    def centred(cls, middle_mm: Point, spacing_mm: Point, shape: tuple[int, int, int]) -> "Frame":
        """A frame whose middle lies at `middle_mm`, (z, x, y)."""
        start = [m - (n - 1) / 2 * s for m, s, n in zip(middle_mm, spacing_mm, shape, strict=True)]
        return cls((start[0], start[1], start[2]), spacing_mm, shape)

    def axis(self, number: int) -> Floats:
        """Voxel centres along one axis, mm, float32."""
        steps = np.arange(self.shape[number], dtype=np.float32)
        return (self.start_mm[number] + self.spacing_mm[number] * steps).astype(np.float32)

    @cached_property
    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Voxel centres as (D, 1, 1), (1, H, 1) and (1, 1, W), mm: they broadcast to the volume."""
        return self.axis(0)[:, None, None], self.axis(1)[None, :, None], self.axis(2)[None, None, :]

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel."""
        return self.spacing_mm[0] * self.spacing_mm[1] * self.spacing_mm[2]

    @property
    def edge_mm(self) -> float:
        """Width over which an edge blurs by partial volume: the geometric mean of the spacings."""
        return float(self.voxel_mm3 ** (1 / 3))

    def window(self, low_mm: Point, high_mm: Point) -> Window:
        """The voxels between two corners, one voxel more on every side; empty slices when outside."""
        spans = []
        for number in range(3):
            first = (low_mm[number] - self.start_mm[number]) / self.spacing_mm[number]
            last = (high_mm[number] - self.start_mm[number]) / self.spacing_mm[number]
            size = self.shape[number]
            begin = min(max(int(np.floor(first)) - 1, 0), size)
            spans.append(slice(begin, max(begin, min(int(np.ceil(last)) + 2, size))))
        return (spans[0], spans[1], spans[2])

    def around(self, centre_mm: Point, reach_mm: float) -> Window:
        """The voxels within a cube of half-width `reach_mm`."""
        z, x, y = centre_mm
        return self.window(
            (z - reach_mm, x - reach_mm, y - reach_mm), (z + reach_mm, x + reach_mm, y + reach_mm)
        )

    def axes_in(self, window: Window) -> tuple[Floats, Floats, Floats]:
        """As `axes`, of a window alone."""
        z, x, y = self.axes
        return z[window[0]], x[:, window[1]], y[:, :, window[2]]


def floats(values: ArrayLike) -> Floats:
    """Numbers as a float32 array."""
    return np.asarray(values, dtype=np.float32)


def inside(distance_mm: Floats, edge_mm: float) -> Floats:
    """How much of each voxel lies inside a surface: 1 well inside, 0 well outside, 0.5 on it.

    Args:
        distance_mm: signed distance to the surface, negative inside.
        edge_mm: width of the transition.
    """
    occupancy: Floats = distance_mm * np.float32(-1.0 / edge_mm)
    occupancy += np.float32(0.5)
    return np.clip(occupancy, 0.0, 1.0, out=occupancy)


@dataclass(frozen=True)
class Canvas:
    """Voxels in Hounsfield units on a frame; everything drawn later covers what is there.

    Attributes:
        frame: where the voxels lie.
        hu: their values, float32 (D, H, W).
    """

    frame: Frame
    hu: Floats

    @classmethod
    def of_air(cls, frame: Frame) -> "Canvas":
        """A canvas of nothing but air."""
        return cls(frame, np.full(frame.shape, AIR_HU, dtype=np.float32))

    def blend(self, occupancy: Floats, hu: float | Floats, window: Window | None = None) -> None:
        """Cover voxels with `hu` as far as `occupancy` (0 to 1) says."""
        target = self.hu if window is None else self.hu[window]
        change = hu - target
        change *= occupancy
        target += change

    def ellipsoid(
        self,
        centre_mm: Point,
        radii_mm: Point,
        hu: float,
        *,
        opacity: float = 1.0,
        within_DHW: Floats | None = None,
        tilt: Floats | None = None,
    ) -> None:
        """Draw an ellipsoid; the volume drawn is right even when it is smaller than a voxel.

        Args:
            centre_mm: (z, x, y).
            radii_mm: half-axes along (z, x, y), before the tilt.
            hu: what it is made of.
            opacity: 1 covers, less mixes with what is there.
            within_DHW: an occupancy that it may not leave, such as the lungs'.
            tilt: 3×3 rotation; its rows are the half-axes' directions.
        """
        if min(radii_mm) < 1.5 * max(self.frame.spacing_mm):
            points, volume = ellipsoid_points(centre_mm, radii_mm, self.frame, tilt)
            self.sprinkle(points, volume, hu, opacity=opacity, within_DHW=within_DHW)
            return
        window = self.frame.around(centre_mm, max(radii_mm) + self.frame.edge_mm)
        offsets = [a - c for a, c in zip(self.frame.axes_in(window), centre_mm, strict=True)]
        if tilt is not None:
            offsets = [row[0] * offsets[0] + row[1] * offsets[1] + row[2] * offsets[2] for row in tilt]
        square = sum((o / np.float32(r)) ** 2 for o, r in zip(offsets, radii_mm, strict=True))
        occupancy = opacity * inside((np.sqrt(square) - 1.0) * min(radii_mm), self.frame.edge_mm)
        self.blend(occupancy if within_DHW is None else occupancy * within_DHW[window], hu, window)

    def tubes(
        self,
        segments: "Segments",
        hu: float,
        *,
        opacity: float = 1.0,
        within_DHW: Floats | None = None,
    ) -> None:
        """Draw straight tubes, such as vessels, airways, leads and catheters."""
        for points, volumes in segments.points(self.frame):
            self.sprinkle(points, volumes, hu, opacity=opacity, within_DHW=within_DHW)

    def sprinkle(
        self,
        points_N3: Floats,
        volume_mm3: Floats | float,
        hu: float,
        *,
        opacity: float = 1.0,
        within_DHW: Floats | None = None,
    ) -> None:
        """Cover voxels by points that each stand for a small volume (a voxel is never more than full)."""
        frame = self.frame
        cells = np.rint((points_N3 - floats(frame.start_mm)) / floats(frame.spacing_mm))
        kept = ((cells >= 0) & (cells < np.array(frame.shape))).all(1)
        if not kept.any():
            return
        cells = cells[kept].astype(np.int64)
        low, high = cells.min(0), cells.max(0) + 1
        window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        shape = tuple(high - low)
        flat = np.ravel_multi_index(tuple((cells - low).T), shape)
        weights = None if isinstance(volume_mm3, float) else volume_mm3[kept]
        filled = np.bincount(flat, weights, minlength=int(np.prod(shape))).reshape(shape)
        scale = (volume_mm3 if isinstance(volume_mm3, float) else 1.0) / frame.voxel_mm3
        occupancy = np.minimum(filled.astype(np.float32) * np.float32(scale), 1.0) * opacity
        self.blend(occupancy if within_DHW is None else occupancy * within_DHW[window], hu, window)


def ellipsoid_points(
    centre_mm: Point, radii_mm: Point, frame: Frame, tilt: Floats | None = None
) -> tuple[Floats, float]:
    """A lattice of points that fills an ellipsoid.

    Returns:
        Points (N, 3) in mm, and the volume that each stands for, mm³ (they sum to the ellipsoid's own).
    """
    step = min(min(frame.spacing_mm) / _SAMPLES_PER_VOXEL, min(radii_mm) / 1.5)
    sides = [np.linspace(-1, 1, int(np.ceil(2 * r / step)) + 1, dtype=np.float32) for r in radii_mm]
    unit = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3)
    unit = unit[(unit**2).sum(1) <= 1.0]
    volume = 4 / 3 * np.pi * radii_mm[0] * radii_mm[1] * radii_mm[2]
    points = unit * floats(radii_mm)
    if tilt is not None:
        points = points @ tilt
    return points + floats(centre_mm), float(volume / len(points))


@dataclass(frozen=True)
class Segments:
    """Straight pieces of tubes.

    Attributes:
        start, end: (N, 3), mm.
        start_radius, end_radius: (N,), mm.
    """

    start: Floats
    end: Floats
    start_radius: Floats
    end_radius: Floats

    @classmethod
    def along(
        cls, path: "list[Point] | Floats", radius_mm: float, end_radius_mm: float | None = None
    ) -> "Segments":
        """A tube through the points of a path, its radius running from one value to the other."""
        points = np.asarray(path, dtype=np.float32)
        last = radius_mm if end_radius_mm is None else end_radius_mm
        radii = np.linspace(radius_mm, last, len(points), dtype=np.float32)
        return cls(points[:-1], points[1:], radii[:-1], radii[1:])

    @classmethod
    def joined(cls, parts: "list[Segments]") -> "Segments":
        """All pieces of several tubes."""
        return cls(
            np.concatenate([p.start for p in parts]),
            np.concatenate([p.end for p in parts]),
            np.concatenate([p.start_radius for p in parts]),
            np.concatenate([p.end_radius for p in parts]),
        )

    def widened(self, by_mm: float) -> "Segments":
        """The same tubes, their radius changed by `by_mm` (at least 0.2 mm stay)."""
        return Segments(
            self.start,
            self.end,
            np.maximum(self.start_radius + np.float32(by_mm), np.float32(0.2)),
            np.maximum(self.end_radius + np.float32(by_mm), np.float32(0.2)),
        )

    def chosen(self, mask_N: NDArray[np.bool_]) -> "Segments":
        """Some of the pieces."""
        return Segments(
            self.start[mask_N], self.end[mask_N], self.start_radius[mask_N], self.end_radius[mask_N]
        )

    def points(self, frame: Frame) -> Iterator[tuple[Floats, Floats]]:
        """Points that fill the tubes inside a frame, and the volume of each, mm³, in bounded portions."""
        low = floats(frame.start_mm) - np.maximum(self.start_radius, self.end_radius)[:, None] - 8
        high = low + 16 + floats(frame.shape) * floats(frame.spacing_mm)
        high += 2 * np.maximum(self.start_radius, self.end_radius)[:, None]
        near = (np.maximum(self.start, self.end) >= low) & (np.minimum(self.start, self.end) <= high)
        part = self.chosen(np.asarray(near.all(1)))
        if len(part.start):
            yield from part._filled(min(frame.spacing_mm))

    def _filled(self, spacing_mm: float) -> Iterator[tuple[Floats, Floats]]:
        step = spacing_mm / _SAMPLES_PER_VOXEL
        length = np.linalg.norm(self.end - self.start, axis=1)
        counts = np.maximum(np.ceil(length / step), 1).astype(np.int64)
        owner = np.repeat(np.arange(len(counts)), counts)
        along = (np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[owner]
        along = along.astype(np.float32)[:, None]
        centres = self.start[owner] + along * (self.end - self.start)[owner]
        radii = self.start_radius[owner] + along[:, 0] * (self.end_radius - self.start_radius)[owner]
        volumes = (np.pi * radii**2 * (length / counts)[owner]).astype(np.float32)
        volumes *= np.where(
            radii > 2.5 * spacing_mm, np.float32(1.3), np.float32(1)
        )  # no gaps in thick tubes
        rings = np.ceil(np.pi * (radii / step) ** 2).astype(np.int64)
        across, over = _frames_across((self.end - self.start) / np.maximum(length, 1e-6)[:, None])
        portions = np.cumsum(np.maximum(rings, 1)) // _POINTS_AT_ONCE
        for portion in range(int(portions[-1]) + 1):
            rows = np.flatnonzero(portions == portion)
            yield _discs(
                centres[rows],
                radii[rows],
                volumes[rows],
                rings[rows],
                across=across[owner[rows]],
                over=over[owner[rows]],
            )


def _frames_across(direction_N3: Floats) -> tuple[Floats, Floats]:
    """Two unit vectors at right angles to each direction."""
    helper = np.where(np.abs(direction_N3[:, :1]) < 0.8, floats([[1, 0, 0]]), floats([[0, 1, 0]]))
    across = np.cross(direction_N3, helper).astype(np.float32)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    return across, np.cross(direction_N3, across).astype(np.float32)


def _discs(
    centres: Floats,
    radii: Floats,
    volumes: Floats,
    counts: NDArray[np.int64],
    *,
    across: Floats,
    over: Floats,
) -> tuple[Floats, Floats]:
    """Spread `counts` points over a disc at each centre, evenly, in the sunflower's spiral."""
    counts = np.maximum(counts, 1)
    owner = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    distance = radii[owner] * np.sqrt((number + 0.5) / counts[owner]).astype(np.float32)
    distance = np.where(counts[owner] == 1, np.float32(0), distance)
    angle = (number * 2.399963 + owner).astype(np.float32)
    offset = (distance * np.cos(angle))[:, None] * across[owner] + (distance * np.sin(angle))[:, None] * over[
        owner
    ]
    shares: Floats = volumes[owner] / counts[owner]
    return floats(centres[owner] + offset), floats(shares)


def texture(frame: Frame, window: Window, *, seed: int, cell_mm: float) -> Floats:
    """Smooth noise that belongs to the scene: the same seed gives the same field at any spacing.

    Args:
        frame: the grid.
        window: the voxels wanted.
        seed: names the field.
        cell_mm: size of its features.

    Returns:
        About standard normal, of the window's shape.
    """
    weights = [_lattice_weights(frame.axis(n)[window[n]], cell_mm) for n in range(3)]
    shape = tuple(w.shape[1] for w in weights)
    lattice = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    lattice *= np.float32(1.6)  # interpolation lowers the spread to about 0.62
    field = np.tensordot(weights[0], lattice, (1, 0))
    return np.ascontiguousarray(weights[1] @ (field @ weights[2].T), dtype=np.float32)


_LATTICE_HALF_MM = 200.0


def _lattice_weights(axis_mm: Floats, cell_mm: float) -> Floats:
    """Weights (voxels, lattice points) of smooth interpolation along one axis."""
    place = (axis_mm + _LATTICE_HALF_MM) / cell_mm
    points = int(2 * _LATTICE_HALF_MM / cell_mm) + 2
    below = np.clip(np.floor(place).astype(np.int64), 0, points - 2)
    part = np.clip(place - below, 0, 1)
    part = part * part * (3 - 2 * part)
    weights = np.zeros((len(axis_mm), points), dtype=np.float32)
    rows = np.arange(len(axis_mm))
    weights[rows, below] = 1 - part
    weights[rows, below + 1] = part
    return weights
