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
        """Return the grid of whole-numbered blocks that has at most `edge` voxels along each axis."""
        blocks = block_of(self.shape, edge)
        lengths = [-(-length // block) for length, block in zip(self.shape, blocks, strict=True)]
        spacing = [mm * block for mm, block in zip(self.spacing_mm, blocks, strict=True)]
        key = [(at - (block - 1) / 2) / block for at, block in zip(self.key, blocks, strict=True)]
        return Grid(
            shape=(lengths[0], lengths[1], lengths[2]),
            spacing_mm=(spacing[0], spacing[1], spacing[2]),
            key=(key[0], key[1], key[2]),
        )


def block_of(shape: tuple[int, int, int], edge: int) -> tuple[int, int, int]:
    """Return how many voxels along each axis become one, so that none is longer than `edge`."""
    slices, rows, columns = (-(-length // edge) for length in shape)
    return slices, rows, columns


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


def coarse_slice(voxels_SPL: Voxels, block: tuple[int, int, int], index: int) -> Voxels:
    """Return one slice of the mean of blocks; blocks at the upper edges are means of what is there."""
    slices, rows, columns = block
    slab = np.asarray(voxels_SPL[index * slices : (index + 1) * slices])
    flat = slab.sum(axis=0, dtype=np.int32)
    sums = _block_sums(_block_sums(flat, rows, 0), columns, 1)
    down, across = (
        _block_lengths(length, size) for length, size in zip(flat.shape, (rows, columns), strict=True)
    )
    mean: Voxels = np.rint(sums / (np.multiply.outer(down, across) * len(slab))).astype(np.int16)
    return mean


def _block_sums(array: NDArray[np.int32], block: int, axis: int) -> NDArray[np.int32]:
    starts = np.arange(0, array.shape[axis], block)
    sums: NDArray[np.int32] = np.add.reduceat(array, starts, axis=axis, dtype=np.int64)
    return sums


def _block_lengths(length: int, block: int) -> NDArray[np.int64]:
    starts = np.arange(0, length, block)
    return np.minimum(starts + block, length) - starts


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
