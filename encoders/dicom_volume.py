"""A DICOM series becomes one scan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.dicom import Series, read_series
from encoders.dicom_pixels import open_image, stored_values
from encoders.errors import VolumeError
from encoders.scan import Scan, check_shape, checked_spacing, placement_from_affine


def read_dicom(source: Path | Sequence[Path]) -> Scan:
    """Read the one CT series of a folder, or of the files given.

    Raises:
        VolumeError: there is no series or more than one, it has problems (see `Series`), or a slice cannot be
            decoded.
    """
    name = source.name if isinstance(source, Path) else source[0].parent.name
    series = _only_series(read_series(source), name)
    if series.problems:
        faults = ", and it ".join(series.problems)
        raise VolumeError(f"the DICOM series in {name} is no volume, it {faults}: export the series again")
    first = series.planes[0]
    check_shape((first.columns, first.rows, len(series.planes)), 2, name)
    rescales = {plane.rescale for plane in series.planes}
    placement = placement_from_affine(_affine(series), name)
    return Scan(
        stored_xyz=_stack(series, in_hu=len(rescales) > 1).transpose(2, 1, 0),
        axis_codes=placement.axis_codes,
        spacing_mm=checked_spacing(series.spacing_mm, name),
        header_rescale=first.rescale if len(rescales) == 1 else (1.0, 0.0),
        warnings=placement.warnings,
    )


def _only_series(found: Sequence[Series], name: str) -> Series:
    patients = {series.patient for series in found}
    if len(patients) > 1:
        raise VolumeError(
            f"{name} holds DICOM series of {len(patients)} patients: give the folder of one series"
        )
    if len(found) > 1:
        listed = "; ".join(_description(series) for series in found)
        raise VolumeError(f"{name} holds {len(found)} CT series ({listed}): give the folder of one of them")
    return found[0]


def _description(series: Series) -> str:
    header = series.header
    kernel = header.get("ConvolutionKernel") or ""
    number, step_mm = header.get("SeriesNumber", "?"), series.spacing_mm[2]
    said = f"number {number}, {len(series.planes)} slices of {step_mm:g} mm"
    return f"{said}, kernel {kernel}" if kernel else said


def _affine(series: Series) -> NDArray[np.float64]:
    first = series.planes[0]
    along_row, along_column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    lps = np.column_stack((along_row, along_column, np.cross(along_row, along_column))) * series.spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = (
        np.diag((-1.0, -1.0, 1.0)) @ lps
    )  # DICOM counts to the left and back, affines to right and front
    return affine


def _stack(series: Series, *, in_hu: bool) -> NDArray[Any]:
    volume_DHW: NDArray[Any] | None = None
    path, image = None, None
    for index, plane in enumerate(series.planes):
        if image is None or path != plane.path:  # a multi-frame file holds all slices: it is read once
            path, image = plane.path, open_image(plane.path)
        stored_HW = stored_values(plane, image)
        if in_hu:
            slope, intercept = plane.rescale
            stored_HW = stored_HW.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        if volume_DHW is None:
            volume_DHW = np.empty((len(series.planes), *stored_HW.shape), stored_HW.dtype)
        if stored_HW.dtype != volume_DHW.dtype:
            raise VolumeError(f"{plane.path.name} stores {stored_HW.dtype}, other slices {volume_DHW.dtype}")
        volume_DHW[index] = stored_HW
    if volume_DHW is None:
        raise VolumeError("a DICOM series without slices is no volume")
    return volume_DHW
