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
    in_plane = _InPlane(stored_DHW, rescale, height, width)
    for index, (lower, upper) in enumerate(zip(depth.lower.tolist(), depth.upper.tolist(), strict=True)):
        lower_HW, upper_HW, out_HW = in_plane[lower], in_plane[upper], inner_DHW[index]
        np.subtract(upper_HW, lower_HW, out=out_HW)
        out_HW *= depth.weight[index]
        out_HW += lower_HW
    return volume_DHW


def _pad(volume_DHW: Floats, axes: tuple[Axis, Axis, Axis]) -> None:
    for number, axis in enumerate(axes):
        along = np.moveaxis(volume_DHW, number, 0)
        along[: axis.span.start] = -1
        along[axis.span.stop :] = -1


class _InPlane:
    """Slices in HU / 1000, clipped and resampled within their plane; the last two are kept.

    All work happens in buffers made once: fresh memory for every step would take longer than the arithmetic.
    """

    def __init__(
        self, stored_DHW: NDArray[np.generic], rescale: tuple[float, float], height: Axis, width: Axis
    ) -> None:
        self._stored_DHW = stored_DHW
        self._slope, self._intercept = (np.float32(number) for number in rescale)
        self._height, self._width = height, width
        _, rows, columns = stored_DHW.shape
        new_rows, new_columns = len(height.lower), len(width.lower)
        self._plane_WH = np.zeros((columns, rows + _APART), np.float32)
        self._mixed_WH = np.empty((2, new_columns, rows + _APART), np.float32)
        self._turned_HW = np.empty((rows, new_columns), np.float32)
        self._lower_HW = np.empty((new_rows, new_columns), np.float32)
        self._ready_HW: list[Floats] = [np.empty((new_rows, new_columns), np.float32) for _ in range(2)]
        self._ready = [-1, -1]  # which slices these are

    def __getitem__(self, index: int) -> Floats:
        if index not in self._ready:
            place = self._ready.index(min(self._ready))  # slices are asked for in ascending order
            self._ready[place] = index
            self._resample(index, self._ready_HW[place])
        return self._ready_HW[self._ready.index(index)]

    def _resample(self, index: int, out_HW: Floats) -> None:
        # Stored columns usually lie next to each other, grid rows do: turning the plane between the two steps
        # lets both mix whole rows. Turning is four times faster when rows are not a power of two apart.
        rows = self._stored_DHW.shape[1]
        self._plane_WH[:, :rows] = self._stored_DHW[index].T
        if self._slope != 1:
            self._plane_WH *= self._slope
        self._plane_WH += self._intercept
        np.clip(self._plane_WH, AIR_HU, BONE_HU, out=self._plane_WH)
        self._plane_WH /= BONE_HU
        lower_WH, mixed_WH = self._mixed_WH
        _mix_rows(self._plane_WH, self._width, lower_WH, mixed_WH)
        self._turned_HW[...] = mixed_WH[:, :rows].T
        _mix_rows(self._turned_HW, self._height, self._lower_HW, out_HW)


def _mix_rows(plane: Floats, axis: Axis, lower: Floats, out: Floats) -> None:
    np.take(plane, axis.lower, axis=0, out=lower, mode="clip")  # "clip" writes to `out` without a copy
    np.take(plane, axis.upper, axis=0, out=out, mode="clip")
    out -= lower
    out *= axis.weight[:, None]
    out += lower
