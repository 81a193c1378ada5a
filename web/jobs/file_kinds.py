"""What a file is, by its first bytes: its name is whatever its sender called it."""

import zlib
from pathlib import Path
from typing import Literal

FileKind = Literal["nifti", "nifti_gz", "nrrd", "dicom", "zip"]
ENDINGS: dict[FileKind, str] = {
    "nifti": ".nii",
    "nifti_gz": ".nii.gz",
    "nrrd": ".nrrd",
    "dicom": ".dcm",
    "zip": ".zip",
}
LOOKED_AT = 1024  # bytes
ARCHIVES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"\xfd7zXZ\x00",
    b"BZh",
    b"\x28\xb5\x2f\xfd",
)
_NIFTI_SIZES = (348, 540)
_GZIP = b"\x1f\x8b"
_FIRST_GROUP = b"\x08\x00"  # of DICOM without a preamble, little endian
_TAR_AT = 257


def kind_of(path: Path) -> FileKind | None:
    """Return what a file is; None for what holds no CT."""
    with path.open("rb") as stream:
        return kind_of_start(stream.read(LOOKED_AT))


def kind_of_start(start: bytes) -> FileKind | None:
    """Return what a file is that begins so; None for what holds no CT."""
    if start.startswith(ARCHIVES[:2]):
        return "zip"
    if start.startswith(b"NRRD"):
        return "nrrd"
    if start.startswith(_GZIP):
        return "nifti_gz" if _is_nifti(_inflated(start)) else None
    if _is_nifti(start):
        return "nifti"
    if start[128:132] == b"DICM" or (start[:2] == _FIRST_GROUP and start[3:4] == b"\0"):
        return "dicom"
    return None


def is_archive(start: bytes) -> bool:
    """Whether a file that begins so holds other files; a compressed NIfTI does not."""
    if start.startswith(ARCHIVES) or start[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return True
    return start.startswith(_GZIP) and not _is_nifti(_inflated(start))


def _is_nifti(start: bytes) -> bool:
    return len(start) >= 4 and (
        int.from_bytes(start[:4], "little") in _NIFTI_SIZES
        or int.from_bytes(start[:4], "big") in _NIFTI_SIZES
    )


def _inflated(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(start, 4)
    except zlib.error:
        return b""
