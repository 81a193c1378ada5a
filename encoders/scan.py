"""A CT as its file stores it: voxels, orientation, spacing, and the numbers that turn it into HU."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nibabel.affines import obliquity, voxel_sizes
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from encoders.errors import VolumeError

MAX_BYTES = 4 << 30  # decompressed; 1024×1024×2000 slices of int16
OBLIQUE_WARNING_DEG = 20.0
OBLIQUE_LIMIT_DEG = 40.0  # near 45° the nearest axis is a matter of luck
SPACING_DECIMALS = 6  # headers hold float32: 2.1 reads as 2.0999999, which costs the last voxel

Stored = NDArray[Any]
Rescale = tuple[float, float]
Spacing = tuple[float, float, float]
_OPPOSITE = dict(zip("LRPASI", "RLAPIS", strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A CT volume as stored.

    `header_rescale` turns stored values into HU as the file itself says. `array_rescale` is the part of it
    that belongs to the file format and not to CT (the scale of a NIfTI header): a metadata table speaks of
    the numbers after it.
    """

    stored_xyz: Stored
    axis_codes: tuple[str, str, str]  # where x, y and z increase towards: L or R, P or A, S or I
    spacing_mm: Spacing  # along x, y and z
    header_rescale: Rescale = (1.0, 0.0)  # (slope, intercept)
    array_rescale: Rescale = (1.0, 0.0)
    warnings: tuple[str, ...] = ()

    def towards_slp(self) -> "Scan":
        """Return the same scan with axes (slices, rows, columns) towards Superior, Left and Posterior.

        `stored_xyz`, `axis_codes` and `spacing_mm` follow; the voxels are a view.
        """
        order = [self._axis_of(code) for code in "SLP"]
        return replace(
            self._reordered(order),
            stored_xyz=self.stored_xyz.transpose(order)[
                tuple(
                    slice(None) if self.axis_codes[axis] == code else slice(None, None, -1)
                    for axis, code in zip(order, "SLP", strict=True)
                )
            ],
            axis_codes=("S", "L", "P"),
        )

    def as_stored(self) -> "Scan":
        """Return the same scan with axes (z, x, y), whatever its orientation: the published code's order."""
        return self._reordered([2, 0, 1])

    def with_table_rescale(self, table: Rescale) -> Rescale:
        """Return (slope, intercept) from stored values to HU if a table's are applied."""
        slope, intercept = self.array_rescale
        return table[0] * slope, table[0] * intercept + table[1]

    def _axis_of(self, code: str) -> int:
        return next(axis for axis in range(3) if self.axis_codes[axis] in (code, _OPPOSITE[code]))

    def _reordered(self, order: Sequence[int]) -> "Scan":
        first, second, third = order
        return replace(
            self,
            stored_xyz=self.stored_xyz.transpose(order),
            axis_codes=(self.axis_codes[first], self.axis_codes[second], self.axis_codes[third]),
            spacing_mm=(self.spacing_mm[first], self.spacing_mm[second], self.spacing_mm[third]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What an affine says: orientation, spacing, and what is odd about it."""

    axis_codes: tuple[str, str, str]
    spacing_mm: Spacing
    warnings: tuple[str, ...] = ()


def placement_from_affine(affine: NDArray[np.float64], name: str) -> Placement:
    """Read orientation and spacing off a 4×4 affine from voxels to millimetres, R, A and S positive.

    A tilted or sheared volume takes the nearest axes: from 20° on with a warning, from 40° on it is refused.

    Raises:
        VolumeError: a spacing is zero or not a number, or the axes are too oblique to be named.
    """
    spacing_mm = checked_spacing(
        tuple(voxel_sizes(affine)) if np.isfinite(affine).all() else (math.nan,), name
    )
    axis_codes = aff2axcodes(affine)
    tilt_deg = math.degrees(float(np.max(obliquity(affine))))
    if None in axis_codes or tilt_deg > OBLIQUE_LIMIT_DEG:
        raise VolumeError(
            f"{name} lies {tilt_deg:.0f}° oblique to the body's axes: give the axial series it was made from"
        )
    oblique = f"lies {tilt_deg:.0f}° oblique to the body's axes; the nearest ones were taken"
    return Placement(
        axis_codes=axis_codes,
        spacing_mm=spacing_mm,
        warnings=(oblique,) if tilt_deg > OBLIQUE_WARNING_DEG else (),
    )


def checked_spacing(spacing_mm: Sequence[float], name: str) -> Spacing:
    """Return a header's spacing rounded to 6 decimals.

    Raises:
        VolumeError: it is not three positive numbers.
    """
    rounded = tuple(round(float(spacing), SPACING_DECIMALS) for spacing in spacing_mm)
    if len(rounded) != 3 or not all(math.isfinite(spacing) and spacing > 0 for spacing in rounded):
        found = " × ".join(f"{spacing:g}" for spacing in spacing_mm)
        raise VolumeError(
            f"the header of {name} gives a voxel spacing of {found} mm: correct it, or export the scan again"
        )
    return rounded[0], rounded[1], rounded[2]


def check_shape(shape: Sequence[int], bytes_per_voxel: int, name: str) -> tuple[int, int, int]:
    """Return the shape of a 3-D volume before anything is allocated for it.

    A trailing axis of length 1 is dropped.

    Raises:
        VolumeError: it is not 3-D, an axis is empty, or it would take more than 4 GiB.
    """
    trimmed = tuple(int(length) for length in shape)
    while len(trimmed) > 3 and trimmed[-1] == 1:
        trimmed = trimmed[:-1]
    text = "×".join(str(length) for length in trimmed)
    if len(trimmed) != 3 or min(trimmed) < 2:
        raise VolumeError(
            f"{name} is {text} voxels, which is no 3-D volume: give one CT reconstruction a file"
        )
    if math.prod(trimmed) * bytes_per_voxel > MAX_BYTES:
        raise VolumeError(
            f"{name} claims {text} voxels, more than {MAX_BYTES >> 30} GiB: check that the file is a CT"
        )
    return trimmed[0], trimmed[1], trimmed[2]


def check_voxels(stored: Stored, name: str) -> None:
    """Refuse voxels that are not real numbers.

    Raises:
        VolumeError: the type is colour or complex, or voxels are NaN or infinite.
    """
    if stored.dtype.kind in "iub":
        return
    if stored.dtype.kind != "f":
        raise VolumeError(
            f"{name} stores {stored.dtype} voxels, which are no CT: give it in Hounsfield units"
        )
    wrong = sum(int(np.count_nonzero(~np.isfinite(block))) for block in np.moveaxis(stored, -1, 0))
    if wrong:
        raise VolumeError(
            f"{name} has {wrong} voxels that are NaN or infinite: set them to -1000 HU, or export it again"
        )
