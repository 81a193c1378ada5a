"""Trilinear resampling to the encoder's grid, cropped or padded about the centre."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.config import VolumeGrid
from encoders.errors import VolumeError

AIR_HU = -1000.0
BONE_HU = 1000.0
_APART = 16
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Axis:
    """Which stored samples each grid position of one axis mixes; only positions that hold data are listed.

    `start` is the grid index of the first of them; before it and after the last, the grid is air.
    """

    start: int
    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    weight: Floats  # of `upper`; `lower` has the rest

    @property
    def span(self) -> slice:
        """Grid positions that hold data."""
        return slice(self.start, self.start + len(self.lower))


def plan_axis(length: int, spacing_mm: float, target_mm: float, size: int) -> Axis:
    """Plan one axis: resample `length` samples to the target spacing, then crop or pad to `size`.

    The new length is int(length * (spacing / target)) in this order of operations: it decides the last voxel.
    Positions follow `align_corners=False`: the first and the last half voxel repeat the edge.

    Raises:
        VolumeError: the volume is thinner than one target voxel.

    Source:
        CT-CLIP preprocessing (arXiv 2403.17834); torch.nn.functional.interpolate.
    """
    resampled = int(length * (spacing_mm / target_mm))
    if resampled < 1:
        raise VolumeError(
            f"{length} samples of {spacing_mm:g} mm are less than one voxel of {target_mm:g} mm: "
            "check the spacing, or leave this volume out"
        )
    crop = max((resampled - size) // 2, 0)
    count = min(resampled, size)
    position = (np.arange(crop, crop + count) + 0.5) * (length / resampled) - 0.5
    position = np.clip(position, 0, length - 1)
    lower = position.astype(np.intp)
    return Axis(
        start=max((size - resampled) // 2, 0),
        lower=lower,
        upper=np.minimum(lower + 1, length - 1),
        weight=(position - lower).astype(np.float32),
    )


def resample_to_grid(
    stored_DHW: NDArray[np.generic],
    spacing_mm: tuple[float, float, float],
    rescale: tuple[float, float],
    grid: VolumeGrid,
) -> Floats:
    """Turn stored values into HU, clip, resample, and crop or pad to the grid.

    Works slice by slice, so that beside input and output only a few slices are held; voxels that the crop
    drops are never computed.

    Args:
        stored_DHW: any number type, axes already towards Superior, Left and Posterior; a view will do.
        spacing_mm: along (slices, rows, columns).
        rescale: (slope, intercept), HU per stored unit and HU.
        grid: the target.

    Returns:
        float32 of `grid.shape` in [-1, 1]; -1 is -1000 HU and below, and outside the volume.

    Raises:
        VolumeError: the volume is thinner than one voxel of the grid.
    """
    depth, height, width = (
        plan_axis(length, own_mm, target_mm, size)
        for length, own_mm, target_mm, size in zip(
            stored_DHW.shape, spacing_mm, grid.spacing_mm, grid.shape, strict=True
        )
    )
    volume_DHW = np.empty(grid.shape, np.float32)
    _pad(volume_DHW, (depth, height, width))
    inner_DHW = volume_DHW[depth.span, height.span, width.span]
    planes: dict[int, Floats] = {}
    for index, (lower, upper) in enumerate(zip(depth.lower.tolist(), depth.upper.tolist(), strict=True)):
        planes = {
            source: planes[source] if source in planes else _plane(stored_DHW[source], rescale, height, width)
            for source in {lower, upper}
        }
        out_HW = inner_DHW[index]
        np.subtract(planes[upper], planes[lower], out=out_HW)
        out_HW *= depth.weight[index]
        out_HW += planes[lower]
    return volume_DHW


def _pad(volume_DHW: Floats, axes: tuple[Axis, Axis, Axis]) -> None:
    for number, axis in enumerate(axes):
        along = np.moveaxis(volume_DHW, number, 0)
        along[: axis.span.start] = -1
        along[axis.span.stop :] = -1


def _plane(stored_HW: NDArray[np.generic], rescale: tuple[float, float], height: Axis, width: Axis) -> Floats:
    # Stored columns usually lie next to each other, grid rows do: turning the plane between the two steps
    # lets both of them mix whole rows. Turning is four times faster when rows are not a power of two apart.
    rows, columns = stored_HW.shape
    plane_WH = np.zeros((columns, rows + _APART), np.float32)
    plane_WH[:, :rows] = stored_HW.T
    slope, intercept = rescale
    plane_WH *= np.float32(slope / BONE_HU)
    plane_WH += np.float32(intercept / BONE_HU)
    np.clip(plane_WH, AIR_HU / BONE_HU, 1, out=plane_WH)
    plane_HW = np.ascontiguousarray(_mix_rows(plane_WH, width)[:, :rows].T)
    return _mix_rows(plane_HW, height)


def _mix_rows(plane: Floats, axis: Axis) -> Floats:
    lower = plane.take(axis.lower, axis=0)
    mixed = plane.take(axis.upper, axis=0)
    mixed -= lower
    mixed *= axis.weight[:, None]
    mixed += lower
    return mixed
