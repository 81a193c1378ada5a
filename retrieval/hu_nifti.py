"""Voxels in Hounsfield units as NIfTI: what is kept of a volume, looked at through memory, and sent whole.

The array lies (slices, rows, columns), towards Superior, Posterior and Left: an axial slice as it is hung,
in one piece of the file. The header carries nothing of the source but its geometry. Millimetres are counted
from the key slice, so that two patients' volumes have a level in common.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

Voxels = NDArray[np.int16]
VOXELS_AT = 352  # bytes: NIfTI-1 header and four that say there are no extensions
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where voxels lie. All triples are (slices, rows, columns), towards Superior, Posterior and Left."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    key: tuple[float, float, float]  # the voxel that millimetres are counted from

    def coarser(self, edge: int) -> "Grid":
        """Return the grid with at most `edge` voxels along each axis that fills the same space."""
        blocks = [-(-length // edge) for length in self.shape]
        slices, rows, columns = (
            -(-length // block) for length, block in zip(self.shape, blocks, strict=True)
        )
        shape = (slices, rows, columns)
        ratios = [length / count for length, count in zip(self.shape, shape, strict=True)]
        spacing = [mm * ratio for mm, ratio in zip(self.spacing_mm, ratios, strict=True)]
        key = [(at + 0.5) / ratio - 0.5 for at, ratio in zip(self.key, ratios, strict=True)]
        return Grid(
            shape=shape,
            spacing_mm=(spacing[0], spacing[1], spacing[2]),
            key=(key[0], key[1], key[2]),
        )


def hounsfield_slice(stored: NDArray[Any], slope: float, intercept: float) -> Voxels:
    """Turn stored values into whole Hounsfield units."""
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    clipped: Voxels = np.clip(np.rint(hu), _INT16.min, _INT16.max).astype(np.int16)
    return clipped


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Write all of it."""


def write_nifti(stream: Sink, grid: Grid, slice_at: Callable[[int], Voxels]) -> None:
    """Write a NIfTI-1 file slice by slice, so that memory holds one of them.

    Args:
        stream: where to.
        grid: of the voxels.
        slice_at: gives an axial slice (rows, columns) by its index from below.
    """
    stream.write(_header(grid))
    for index in range(grid.shape[0]):
        stream.write(np.ascontiguousarray(slice_at(index), "<i2").data)


def map_voxels(path: Path, shape: tuple[int, int, int]) -> Voxels:
    """Return the voxels (slices, rows, columns) that `write_nifti` wrote, read as they are asked for.

    Raises:
        OSError: the file is not there.
        ValueError: it is shorter than it says.
    """
    return np.memmap(path, "<i2", "r", VOXELS_AT, shape)


def coarse_slice(voxels_SPL: Voxels, shape: tuple[int, int, int], index: int) -> Voxels:
    """Return one slice of the volume with `shape` voxels in the same space: means of what each covers."""
    slices, rows, columns = shape
    places, shares = _covered(len(voxels_SPL), slices)
    slab = np.asarray(voxels_SPL[places[0, index] : places[-1, index] + 1], np.float32)
    flat = np.tensordot(shares[: len(slab), index], slab, 1)
    mean: Voxels = np.rint(_means(_means(flat, rows).T, columns).T).astype(np.int16)
    return mean


def _means(array: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return `count` means along the first axis."""
    places, shares = _covered(len(array), count)
    means = np.zeros((count, array.shape[1]), np.float32)
    for place, share in zip(places, shares, strict=True):
        means += array[place] * share[:, None]
    return means


def _covered(length: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return which of `length` voxels each of `count` in their place covers, and by what share of itself.

    Both are (most that one covers, count); what is counted beyond the last voxel has no share.
    """
    begins = np.arange(count) * length // count
    most = -(-length // count) + (1 if length % count else 0)
    places = begins + np.arange(most)[:, None]
    # in parts of a voxel, of which each has `count`: whole numbers, so that nothing is lost to rounding
    first, last = np.arange(count) * length, np.arange(1, count + 1) * length
    parts = np.minimum((places + 1) * count, last) - np.maximum(places * count, first)
    shares = (parts.clip(0) / length).astype(np.float32)
    return np.minimum(places, length - 1), shares


def _header(grid: Grid) -> bytes:
    slices, rows, columns = grid.shape
    slice_mm, row_mm, column_mm = grid.spacing_mm
    key_slice, key_row, key_column = grid.key
    header = Nifti1Header(endianness="<")
    header.set_data_dtype(np.int16)
    header.set_data_shape((columns, rows, slices))
    affine = np.diag(
        (-column_mm, -row_mm, slice_mm, 1.0)
    )  # to the left and back; NIfTI counts right and front
    affine[:3, 3] = (key_column * column_mm, key_row * row_mm, -key_slice * slice_mm)
    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    header.set_slope_inter(1, 0)
    header["magic"] = b"n+1"
    header["vox_offset"] = VOXELS_AT
    return bytes(header.binaryblock) + bytes(VOXELS_AT - len(header.binaryblock))
