"""One slice of a volume as a picture: the plane as it is hung, square pixels, a window."""

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.errors import ConfigError
from retrieval.hu_nifti import Grid, Voxels
from retrieval.windows import Window

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
LARGEST_PX = 2048
_FAST = 1  # of zlib's levels: a 512 × 512 slice grows by a tenth and is ready in a third of the time


def plane_length(grid: Grid, plane: Plane) -> int:
    """Return how many slices a plane has."""
    return grid.shape[PLANES.index(plane)]


def take_plane(voxels_SPL: Voxels, plane: Plane, index: int) -> Voxels:
    """Return one slice, rows down and columns right, as a radiologist hangs it.

    Axial: posterior down, the patient's left on the right. Coronal: superior up, left on the right. Sagittal:
    superior up, posterior on the right.

    Args:
        voxels_SPL: towards Superior, Posterior and Left.
        plane: which.
        index: from inferior, anterior or right.
    """
    match plane:
        case "axial":
            taken: Voxels = voxels_SPL[index]
        case "coronal":
            taken = voxels_SPL[::-1, index, :]
        case "sagittal":
            taken = voxels_SPL[::-1, :, index]
    return taken


def plane_spacing_mm(grid: Grid, plane: Plane) -> tuple[float, float]:
    """Return the spacing of a plane's rows and columns in mm."""
    slice_mm, row_mm, column_mm = grid.spacing_mm
    return {"axial": (row_mm, column_mm), "coronal": (slice_mm, column_mm), "sagittal": (slice_mm, row_mm)}[
        plane
    ]


def draw_slice(
    voxels_SPL: Voxels, grid: Grid, plane: Plane, index: int, window: Window, size_px: int | None = None
) -> bytes:
    """Return a slice as PNG, 8 bit grey, with square pixels.

    Args:
        voxels_SPL: towards Superior, Posterior and Left.
        grid: of the voxels.
        plane: which.
        index: from inferior, anterior or right.
        window: what is black and what white.
        size_px: of the longer side; None: no row and no column is lost.

    Raises:
        ConfigError: there is no such slice.
    """
    length = plane_length(grid, plane)
    if not 0 <= index < length:
        raise ConfigError(f"there is no {plane} slice {index}: take 0 to {length - 1}")
    grey = window.grey(np.asarray(take_plane(voxels_SPL, plane, index)))
    size = _size_px(grey, plane_spacing_mm(grid, plane), size_px)
    picture = Image.fromarray(grey)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    stored = io.BytesIO()
    picture.save(stored, format="PNG", compress_level=_FAST)
    return stored.getvalue()


def _size_px(
    grey: NDArray[np.uint8], spacing_mm: tuple[float, float], size_px: int | None
) -> tuple[int, int]:
    """Width and height of square pixels."""
    height_mm, width_mm = (length * mm for length, mm in zip(grey.shape, spacing_mm, strict=True))
    mm_a_px = min(spacing_mm) if size_px is None else max(height_mm, width_mm) / size_px
    mm_a_px = max(mm_a_px, max(height_mm, width_mm) / LARGEST_PX)
    return max(1, round(width_mm / mm_a_px)), max(1, round(height_mm / mm_a_px))
