"""NIfTI files, .nii and .nii.gz: decompressed by ISA-L, straight into the array the header announces."""

import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from isal import igzip, igzip_lib
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from encoders.errors import VolumeError
from encoders.scan import (
    Rescale,
    Scan,
    Spacing,
    check_shape,
    check_voxels,
    checked_spacing,
    placement_from_affine,
)

_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 20
_MAX_HEADER = 64 << 20  # extensions included
_SAME_SPACING = 0.01
_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: Path) -> Scan:
    """Read a NIfTI-1 or NIfTI-2 file in one piece, compressed or not whatever its name says.

    Integers stay integers; a trailing fourth axis of length 1 is dropped.

    Raises:
        VolumeError: the file is not NIfTI, is cut short, is too large, is not 3-D, or its spacing or voxels
            are no numbers.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP
            raw.seek(0)
            if not compressed:
                return _read(raw, path.name)
            with igzip.IGzipFile(fileobj=raw, mode="rb") as stream:
                return _read(cast("IO[bytes]", stream), path.name)
    except (EOFError, zlib.error, igzip_lib.IsalError, igzip.BadGzipFile) as error:  # type: ignore[misc]
        raise VolumeError(
            f"{path.name} is cut short or damaged ({error}): copy it again from its source"
        ) from error
    except (HeaderDataError, WrapStructError, KeyError, ValueError, OverflowError) as error:
        raise VolumeError(f"{path.name} has a damaged NIfTI header ({error}): export it again") from error


def _read(stream: IO[bytes], name: str) -> Scan:
    header = _read_header(stream, name)
    dtype = header.get_data_dtype()
    shape = check_shape(header.get_data_shape(), dtype.itemsize, name)
    scale_mm = _MM.get(header.get_xyzt_units()[0], 1.0)
    voxel_mm = checked_spacing(header["pixdim"][1:4] * scale_mm, name)
    affine = np.array(header.get_best_affine(), float)
    affine[:3] *= scale_mm
    placement = placement_from_affine(affine, name)
    spacing_mm, conflict = _settle_spacing(voxel_mm, placement.spacing_mm)
    stored_xyz = _read_voxels(stream, shape, dtype, name)
    check_voxels(stored_xyz, name)
    rescale = _rescale(header)
    unplaced = not (header["sform_code"] or header["qform_code"])
    no_orientation = (
        "says nothing of its orientation; left, anterior, superior was taken, as NIfTI readers do"
    )
    return Scan(
        stored_xyz=stored_xyz,
        axis_codes=placement.axis_codes,
        spacing_mm=spacing_mm,
        header_rescale=rescale,
        array_rescale=rescale,
        warnings=(*placement.warnings, *conflict, *((no_orientation,) if unplaced else ())),
    )


def _settle_spacing(voxel_mm: Spacing, affine_mm: Spacing) -> tuple[Spacing, tuple[str, ...]]:
    if np.allclose(voxel_mm, affine_mm, rtol=_SAME_SPACING):
        return voxel_mm, ()
    # A matrix of ones is what tools write that know no orientation; otherwise it is what viewers go by.
    taken = voxel_mm if np.allclose(affine_mm, 1) else affine_mm
    voxel, matrix, chosen = (
        "×".join(f"{one:g}" for one in spacing) for spacing in (voxel_mm, affine_mm, taken)
    )
    return taken, (
        f"has voxels of {voxel} mm by its header and {matrix} mm by its affine; {chosen} was taken",
    )


def _read_header(stream: IO[bytes], name: str) -> Any:
    start = stream.read(4)
    for kind in (Nifti1Header, Nifti2Header):
        size = kind.sizeof_hdr
        if size not in (int.from_bytes(start, "little"), int.from_bytes(start, "big")):
            continue
        # nibabel's own check would mend a zero spacing to 1 mm in silence.
        header = kind(binaryblock=start + stream.read(size - 4), check=False)  # type: ignore[no-untyped-call]
        if abs(header["pixdim"][0]) != 1:  # the sign of the third axis, which writers leave 0 for positive
            header["pixdim"][0] = 1
        if header["magic"].item()[:2] != b"n+":
            raise VolumeError(
                f"{name} is only the header of a NIfTI pair: convert both parts to one .nii.gz file"
            )
        offset = int(header["vox_offset"]) or size + 4
        if not size <= offset <= _MAX_HEADER:
            raise VolumeError(
                f"{name} puts its voxels at byte {offset}, which is no place for them: export it again"
            )
        stream.read(offset - size)
        return header
    what = "is empty" if not start else "is not a NIfTI file"
    raise VolumeError(f"{name} {what}: give a CT as .nii, .nii.gz, .nrrd, or a folder of DICOM")


def _read_voxels(
    stream: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype[Any], name: str
) -> NDArray[Any]:
    stored = np.empty(shape, dtype, order="F")
    buffer = memoryview(stored.reshape(-1, order="F").view(np.uint8))  # type: ignore[arg-type]
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled : filled + _BLOCK])  # type: ignore[attr-defined]
        if not count:
            raise VolumeError(
                f"{name} ends after {filled:,} of {len(buffer):,} bytes: copy it again from its source"
            )
        filled += count
    stream.read(_BLOCK)  # the end of the stream, where gzip's checksum is
    return stored


def _rescale(header: Any) -> Rescale:
    slope, intercept = header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept))
