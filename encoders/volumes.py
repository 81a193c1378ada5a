"""File → Hounsfield units → the encoder's grid: the only preprocessing in the project."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.chest import lung_content
from encoders.config import VolumeGrid
from encoders.dicom_headers import NOT_DICOM, read_header
from encoders.dicom_volume import read_dicom
from encoders.errors import VolumeError
from encoders.hounsfield import Guess, RescaleRule, RescaleSource, check_rescale, settle_rescale
from encoders.nifti import read_nifti
from encoders.nrrd import read_nrrd
from encoders.rad_chestct import read_rad_chestct
from encoders.resampling import AIR_HU, BONE_HU, resample_to_grid
from encoders.scan import Rescale, Scan, Spacing, check_shape, check_voxels, checked_spacing

__all__ = [
    "PreparedVolume",
    "Scan",
    "SettledScan",
    "grid_from_hounsfield",
    "grid_from_settled",
    "load_volume",
    "prepare_volume",
    "preprocessing_digest",
    "read_scan",
    "settle_scan",
]

Orient = Literal["SLP", "as_stored"]
Floats = NDArray[np.float32]
PUBLISHED_GRID = VolumeGrid()
ARITHMETIC = (
    1  # raise it with any change that changes a voxel: collections made before are then another grid's
)
_COARSE_MM = 4.0  # sampling for the checks: fine enough for lungs, and a hundredth of the voxels
_SAME_SPACING = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedVolume:
    """A volume on the encoder's grid, and how it got there."""

    volume_DHW: Floats  # in [-1, 1], axes towards Superior, Left and Posterior
    rescale_source: RescaleSource
    rescale: Rescale  # (slope, intercept) from stored values to HU
    spacing_mm: Spacing  # of the stored axes x, y, z
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledScan:
    """A volume as stored, and what makes it Hounsfield units."""

    scan: Scan
    rescale_source: RescaleSource
    rescale: Rescale  # (slope, intercept) from stored values to HU
    warnings: tuple[str, ...] = ()


def load_volume(
    path: str | Path | Sequence[Path],
    rescale: Rescale | None = None,
    spacing_mm: Spacing | None = None,
    orient: Orient = "SLP",
    grid: VolumeGrid = PUBLISHED_GRID,
) -> Floats:
    """Read a CT and apply the published preprocessing, believing what it is told.

    Nothing is checked against the voxels here: `prepare_volume` does that for archives.

    Args:
        path: a NIfTI, NRRD or RAD-ChestCT file, a folder of DICOM, or the files of one DICOM series.
        rescale: (slope, intercept) to HU; for NIfTI it comes on top of the header's own scale, for DICOM it
            replaces the header's. None: as the file says.
        spacing_mm: along the stored axes x, y and z, used as given; None: the header's, to 6 decimals.
        orient: "SLP" turns the axes towards Superior, Left and Posterior; "as_stored" reorders x, y, z to
            z, x, y without reading the orientation, as the published code does.
        grid: the target.

    Returns:
        float32 (slices, rows, columns) in [-1, 1].

    Raises:
        VolumeError: the file cannot be read as one CT volume; see `read_scan`.

    Source:
        CT-CLIP preprocessing (arXiv 2403.17834).
    """
    if orient not in ("SLP", "as_stored"):
        raise VolumeError(f"orient={orient!r} is unknown: take 'SLP' or 'as_stored'")
    scan = read_scan(path)
    if spacing_mm is not None:
        scan = replace(scan, spacing_mm=_given_spacing(spacing_mm))
    to_hu = scan.header_rescale if rescale is None else scan.with_table_rescale(rescale)
    check_rescale(to_hu, "the header" if rescale is None else "the rescale given")
    turned = scan.towards_slp() if orient == "SLP" else scan.as_stored()
    return resample_to_grid(turned.stored_xyz, turned.spacing_mm, to_hu, grid)


def prepare_volume(
    paths: str | Path | Sequence[Path],
    *,
    rule: RescaleRule = "auto",
    table_rescale: Rescale | None = None,
    table_spacing_mm: Spacing | None = None,
    grid: VolumeGrid = PUBLISHED_GRID,
) -> PreparedVolume:
    """Read a CT, settle what makes it HU, check that on its voxels, and bring it to the grid.

    The table's spacing goes with the table's rescale: a file that needs one needs the other. Else the
    header's is taken, and a table that differs by more than 1 % is told in the warnings.

    Args:
        paths: as for `load_volume`.
        rule: who is believed about the rescale; "auto" asks the voxels.
        table_rescale: (slope, intercept) of a metadata table.
        table_spacing_mm: (x, y, z) of a metadata table.
        grid: the target.

    Raises:
        VolumeError: the file cannot be read as one CT volume, or is not in HU by that rule.
    """
    settled = settle_scan(paths, rule=rule, table_rescale=table_rescale, table_spacing_mm=table_spacing_mm)
    return grid_from_settled(settled, grid)


def settle_scan(
    paths: str | Path | Sequence[Path],
    *,
    rule: RescaleRule = "auto",
    table_rescale: Rescale | None = None,
    table_spacing_mm: Spacing | None = None,
) -> SettledScan:
    """Read a CT and settle what makes it HU, checked on its voxels; they stay as stored.

    Args and Raises as for `prepare_volume`.
    """
    scan = read_scan(paths)
    slp = scan.towards_slp()
    steps = tuple(max(1, round(_COARSE_MM / spacing)) for spacing in slp.spacing_mm)
    sample_DHW = slp.stored_xyz[tuple(slice(None, None, step) for step in steps)]
    chosen = settle_rescale(sample_DHW, scan=scan, table=table_rescale, rule=rule, name=_name(paths))
    if table_spacing_mm is not None and chosen.source == "metadata":
        scan = replace(scan, spacing_mm=_given_spacing(table_spacing_mm))
        slp = scan.towards_slp()
    return SettledScan(
        scan=scan,
        rescale_source=chosen.source,
        rescale=chosen.rescale,
        warnings=(
            *scan.warnings,
            *_other_spacing(scan.spacing_mm, table_spacing_mm),
            *_no_chest(sample_DHW, slp.spacing_mm, steps, chosen),
        ),
    )


def grid_from_settled(settled: SettledScan, grid: VolumeGrid = PUBLISHED_GRID) -> PreparedVolume:
    """Bring a scan whose Hounsfield units are settled to the grid; `prepare_volume` is both steps in one."""
    slp = settled.scan.towards_slp()
    return PreparedVolume(
        volume_DHW=resample_to_grid(slp.stored_xyz, slp.spacing_mm, settled.rescale, grid),
        rescale_source=settled.rescale_source,
        rescale=settled.rescale,
        spacing_mm=settled.scan.spacing_mm,
        warnings=settled.warnings,
    )


def read_scan(path: str | Path | Sequence[Path]) -> Scan:
    """Read a CT as stored: a NIfTI, NRRD or RAD-ChestCT file, a folder of DICOM, or the files of one series.

    A file is judged by its first bytes, not by its name.

    Raises:
        VolumeError: the file is missing, closed to the reader, damaged, too large, or no 3-D volume; a DICOM
            series misses slices, mixes patients or orientations, or is not the only one.
    """
    source = _as_source(path)
    try:
        if not isinstance(source, Path) or source.is_dir():
            return read_dicom(source)
        with source.open("rb") as stream:
            start = stream.read(8)
        if start.startswith(b"NRRD"):
            return read_nrrd(source)
        if start.startswith(b"PK\x03\x04"):
            return read_rad_chestct(source)
        if read_header(source).reason != NOT_DICOM:
            return read_dicom(source)
        return read_nifti(source)
    except OSError as error:
        raise VolumeError(
            f"{_name(path)} cannot be read ({error.strerror or error}): "
            "check that it exists and that you may read it"
        ) from error


def grid_from_hounsfield(
    hu_DHW: NDArray[Any], spacing_mm: tuple[float, float, float], grid: VolumeGrid = PUBLISHED_GRID
) -> Floats:
    """Bring a volume that is in HU already, drawn or computed, to the grid.

    Args:
        hu_DHW: axes towards Superior, Left and Posterior.
        spacing_mm: along (slices, rows, columns).
        grid: the target.

    Returns:
        float32 of `grid.shape` in [-1, 1].

    Raises:
        VolumeError: the array is not 3-D, or a spacing is not positive.
    """
    check_shape(hu_DHW.shape, hu_DHW.dtype.itemsize, "the volume")
    check_voxels(hu_DHW, "the volume")
    return resample_to_grid(hu_DHW, _given_spacing(spacing_mm), (1.0, 0.0), grid)


def preprocessing_digest(grid: VolumeGrid = PUBLISHED_GRID) -> str:
    """Return what identifies the arithmetic and the grid: latents of different digests are never compared."""
    identity = (ARITHMETIC, AIR_HU, BONE_HU, "SLP", grid)
    return hashlib.sha256(repr(identity).encode()).hexdigest()


def _as_source(path: str | Path | Sequence[Path]) -> Path | list[Path]:
    if isinstance(path, str | Path):
        return Path(path)
    paths = [Path(one) for one in path]
    if not paths:
        raise VolumeError("no file was given to read a volume from: name one")
    return paths[0] if len(paths) == 1 else paths


def _name(path: str | Path | Sequence[Path]) -> str:
    source = _as_source(path)
    return source.name if isinstance(source, Path) else source[0].parent.name


def _given_spacing(spacing_mm: Spacing) -> Spacing:
    checked_spacing(spacing_mm, "this volume")
    return spacing_mm


def _other_spacing(used_mm: Spacing, table_mm: Spacing | None) -> tuple[str, ...]:
    if table_mm is None or np.allclose(used_mm, table_mm, rtol=_SAME_SPACING):
        return ()
    used, table = ("×".join(f"{spacing:g}" for spacing in spacings) for spacings in (used_mm, table_mm))
    return (
        f"has a spacing of {used} mm by its header, which was taken, and {table} mm by the metadata table",
    )


def _no_chest(
    sample_DHW: NDArray[Any], spacing_mm: Spacing, steps: tuple[int, ...], chosen: Guess
) -> tuple[str, ...]:
    slope, intercept = chosen.rescale
    hu_DHW = sample_DHW.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    slice_mm, row_mm, column_mm = (spacing * step for spacing, step in zip(spacing_mm, steps, strict=True))
    content = lung_content(hu_DHW, (slice_mm, row_mm, column_mm))
    if content.looks_like_chest:
        return ()
    return (
        f"does not look like a chest CT: {content.litres:.1f} litres of lung density inside the body, "
        f"seen in {content.slice_share:.0%} of its slices",
    )
