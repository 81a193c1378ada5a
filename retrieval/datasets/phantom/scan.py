"""One scan of a phantom: from its anatomy and findings to voxels as a scanner would reconstruct them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from encoders.abnormalities import ABNORMALITIES
from retrieval.datasets.phantom.anatomy import Anatomy
from retrieval.datasets.phantom.body import (
    Positioning,
    draw_lung_vessels,
    draw_mediastinum,
    draw_spine,
    draw_wall,
)
from retrieval.datasets.phantom.canvas import Floats, Frame, Point
from retrieval.datasets.phantom.draw_lungs import OVER_VESSELS, UNDER_VESSELS
from retrieval.datasets.phantom.draw_mediastinum import STROKES
from retrieval.datasets.phantom.findings import Finding

FIELD_OF_VIEW_MM = 360.0
DEFAULT_SPACING_MM: Point = (7.5, 3.75, 3.75)
_ABOVE_APEX_MM, _BELOW_SULCUS_MM = 22.0, 38.0
_HIGHEST_HU, _LOWEST_HU = 3071.0, -1024.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """How the voxels are made from the raw data.

    Attributes:
        number: 1 or 2, the last part of the volume's name.
        kernel: the maker's name for it.
        sharp: a lung kernel: fine detail and more noise; else a soft-tissue one.
        slice_mm: section thickness.
        pixel_mm: what the scanner's header says; a phantom can be drawn at any spacing.
        noise_hu: standard deviation at 1 mm voxels.
        seed: of the noise.
    """

    number: Literal[1, 2]
    kernel: str
    sharp: bool
    slice_mm: float
    pixel_mm: float
    noise_hu: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomScan:
    """Everything that is drawn and reported of one scan."""

    anatomy: Anatomy
    positioning: Positioning
    findings: Mapping[str, Finding]
    incidentals: tuple[str, ...]
    reconstructions: tuple[Reconstruction, ...]
    day: int
    text_seed: int

    @property
    def labels(self) -> dict[str, bool]:
        """All 18 abnormalities, present or absent."""
        return {name: name in self.findings for name in ABNORMALITIES}

    def frame(self, spacing_mm: Point | None = None, shape: tuple[int, int, int] | None = None) -> Frame:
        """The grid of a scan from above the apices to below the sulci.

        Args:
            spacing_mm: along (slices, rows, columns); default 7.5 × 3.75 × 3.75 mm.
            shape: voxels along the same; default: all of the scan, a field of view of 360 mm.
        """
        spacing = spacing_mm or DEFAULT_SPACING_MM
        length = self.anatomy.height + _ABOVE_APEX_MM + _BELOW_SULCUS_MM
        extent = (length, FIELD_OF_VIEW_MM, FIELD_OF_VIEW_MM)
        size = [max(1, round(e / s)) for e, s in zip(extent, spacing, strict=True)]
        z, x, y = self.positioning.shift_mm
        middle = (z + (_ABOVE_APEX_MM - _BELOW_SULCUS_MM) / 2, x, y + 14.0)
        return Frame.centred(middle, spacing, shape or (size[0], size[1], size[2]))


def draw_scan(scan: PhantomScan, frame: Frame) -> Floats:
    """Draw a scan without noise or blur.

    Returns:
        Hounsfield units, float32 (slices, rows, columns), increasing towards Superior, Left, Posterior.
    """
    chest = draw_wall(scan.anatomy, scan.positioning, frame)
    for name, stroke in UNDER_VESSELS.items():
        if name in scan.findings:
            stroke(chest, scan.findings[name])
    draw_lung_vessels(chest)
    for name, stroke in OVER_VESSELS.items():
        if name in scan.findings:
            stroke(chest, scan.findings[name])
    chest.close()
    pericardial = scan.findings.get("Pericardial effusion")
    draw_mediastinum(chest, pericardial_mm=pericardial.size_mm if pericardial else 0.0)
    draw_spine(chest)
    for name, stroke in STROKES.items():
        if name in scan.findings:
            stroke(chest, scan.findings[name])
    return chest.canvas.hu


def reconstruct(drawn_DHW: Floats, frame: Frame, reconstruction: Reconstruction) -> Floats:
    """Blur by kernel and section thickness, and add noise.

    Args:
        drawn_DHW: as `draw_scan` gives it; it is not changed.
        frame: its grid.
        reconstruction: what to apply.

    Returns:
        Hounsfield units, float32, between -1024 and 3071.
    """
    rng = np.random.default_rng(reconstruction.seed)
    blur_mm = 0.45 if reconstruction.sharp else 1.0
    spread = noise_at(reconstruction.noise_hu, frame)
    noise = rng.standard_normal(frame.shape, dtype=np.float32)
    noise *= np.float32(spread)
    hu = drawn_DHW + noise
    for axis, sigma_mm in enumerate((reconstruction.slice_mm / 2.35, blur_mm, blur_mm)):
        hu = _blurred(hu, axis, sigma_mm / frame.spacing_mm[axis])
    return np.clip(hu, _LOWEST_HU, _HIGHEST_HU, out=hu)


def noise_at(noise_hu: float, frame: Frame) -> float:
    """Noise of a frame's voxels: larger voxels average more, correlated noise less than white noise would."""
    return float(noise_hu * frame.voxel_mm3 ** (-1 / 6))


def _blurred(hu_DHW: Floats, axis: int, sigma: float) -> Floats:
    """Convolve one axis with a Gaussian of `sigma` voxels; too narrow a one changes nothing."""
    if sigma < 0.3 or hu_DHW.shape[axis] < 3:
        return hu_DHW
    taps = max(1, int(np.ceil(2.5 * sigma)))
    weights = np.exp(-0.5 * (np.arange(-taps, taps + 1) / sigma) ** 2)
    weights /= weights.sum()
    size = hu_DHW.shape[axis]
    moved = np.moveaxis(hu_DHW, axis, 0)
    matrix = np.zeros((size, size), dtype=np.float32)
    for offset, weight in zip(range(-taps, taps + 1), weights, strict=True):
        rows = np.arange(size)
        np.add.at(matrix, (rows, np.clip(rows + offset, 0, size - 1)), np.float32(weight))
    mixed = matrix @ moved.reshape(size, -1)
    return np.ascontiguousarray(np.moveaxis(mixed.reshape(moved.shape), 0, axis))


@lru_cache(maxsize=1)
def _drawn(scan_key: "HashedScan", frame: Frame) -> Floats:
    return draw_scan(scan_key.scan, frame)


@dataclass(frozen=True)
class HashedScan:
    """A scan under its name, so that its reconstructions are drawn once."""

    name: str
    scan: PhantomScan

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashedScan) and other.name == self.name

    def voxels(self, frame: Frame, reconstruction: Reconstruction) -> Floats:
        """The voxels of one reconstruction; the scan itself is drawn once for all of them."""
        return reconstruct(_drawn(self, frame), frame, reconstruction)
