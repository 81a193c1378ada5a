"""Does a volume look like a chest? Counted in litres of lung density inside the body."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AIR_OR_LUNG_HU = -400.0  # half way between lung and soft tissue
LUNG_HU = (-970.0, -500.0)  # bowel gas lies below, partly filled bowel above
OUTSIDE_HU = -930.0  # a border emptier than this is air around the body, else a crop through a lung
LUNG_AREA_CM2 = 10.0
CHEST_LITRES = 1.0  # one lung of an adult; bases seen on an abdomen stay below
CHEST_SLICE_SHARE = 0.5  # children and white lungs have less, but from top to bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class LungContent:
    """Lung density inside the body of one volume."""

    litres: float
    slice_share: float  # of slices that show more than 10 cm² of it

    @property
    def looks_like_chest(self) -> bool:
        """Enough lung for a chest, in volume or in height."""
        return self.litres >= CHEST_LITRES or self.slice_share >= CHEST_SLICE_SHARE


def looks_like_chest(hu_DHW: NDArray[np.floating], spacing_mm: tuple[float, float, float]) -> bool:
    """Tell whether a volume shows enough lung to be a chest; see `lung_content`."""
    return lung_content(hu_DHW, spacing_mm).looks_like_chest


def lung_content(hu_DHW: NDArray[np.floating], spacing_mm: tuple[float, float, float]) -> LungContent:
    """Measure lung density inside the body; 3 to 5 mm voxels are fine enough.

    Outside is what is connected, within an axial slice, to air at the slice's border; so lungs cut by a tight
    crop count, while air around the body, and a windpipe that opens to it above, do not.

    Args:
        hu_DHW: HU, axial slices first.
        spacing_mm: along (slices, rows, columns).
    """
    inside = (hu_DHW < AIR_OR_LUNG_HU) & ~_outside(hu_DHW)
    lung = inside & (hu_DHW > LUNG_HU[0]) & (hu_DHW < LUNG_HU[1])
    slice_mm, row_mm, column_mm = spacing_mm
    area_cm2 = lung.sum(axis=(1, 2)) * (row_mm * column_mm / 100)
    return LungContent(
        litres=float(area_cm2.sum() * slice_mm / 1e4),
        slice_share=float(np.mean(area_cm2 > LUNG_AREA_CM2)),
    )


def _outside(hu_DHW: NDArray[np.floating]) -> NDArray[np.bool_]:
    empty = hu_DHW < AIR_OR_LUNG_HU
    outside = np.zeros_like(empty)
    smooth = _smooth(hu_DHW)
    for border in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        outside[border] = empty[border] & (smooth[border] < OUTSIDE_HU)
    count = -1
    while count != (count := int(np.count_nonzero(outside))):
        for axis in (1, 2):
            _sweep(np.moveaxis(outside, axis, 0), np.moveaxis(empty, axis, 0))
            _sweep(np.moveaxis(outside, axis, 0)[::-1], np.moveaxis(empty, axis, 0)[::-1])
    return outside


def _sweep(reached: NDArray[np.bool_], passable: NDArray[np.bool_]) -> None:
    for index in range(1, len(reached)):
        reached[index] |= reached[index - 1] & passable[index]


def _smooth(hu_DHW: NDArray[np.floating]) -> NDArray[np.floating]:
    # Mean of 3×3×3 voxels: noise of a sharp kernel must not make a cut lung look like outside air.
    for axis in range(3):
        padded = np.pad(hu_DHW, [(1, 1) if own == axis else (0, 0) for own in range(3)], mode="edge")
        along = np.moveaxis(padded, axis, 0)
        hu_DHW = np.moveaxis((along[:-2] + along[1:-1] + along[2:]) / 3, 0, axis)
    return hu_DHW
