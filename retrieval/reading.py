"""From a volume's file to what the encoder takes, and the digests that tell whether either has changed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from encoders.config import VolumeGrid
from encoders.errors import VolumeError
from encoders.volumes import PreparedVolume, grid_from_hounsfield, prepare_volume
from retrieval.cases import RescaleRule, VolumeFile
from retrieval.datasets.phantom import GENERATOR_VERSION, draw_volume

_BLOCK = 1 << 20
_WITHOUT_TABLE = VolumeFile(kind="nifti", uri="")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """Size in bytes and modification time, over all files of a volume."""

    size: int
    mtime_ns: int


def stat_file(file: VolumeFile) -> FileStat:
    """Return total size and latest modification time; zeros for a phantom, which has no bytes.

    Raises:
        VolumeError: a file is missing or may not be looked at.
    """
    try:
        stats = [path.stat() for path in file.paths]
    except OSError as error:
        raise VolumeError(_unreadable(Path(str(error.filename)), error)) from error
    return FileStat(
        size=sum(stat.st_size for stat in stats),
        mtime_ns=max((stat.st_mtime_ns for stat in stats), default=0),
    )


def file_sha256(file: VolumeFile) -> bytes:
    """Return the digest of all bytes of a volume, file by file in their order.

    Raises:
        VolumeError: a file is missing or may not be read.
    """
    if file.kind == "phantom":
        return hashlib.sha256(f"{GENERATOR_VERSION}:{file.uri}".encode()).digest()
    digest = hashlib.sha256()
    for path in file.paths:
        try:
            with path.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise VolumeError(_unreadable(path, error)) from error
    return digest.digest()


def volume_content(sha256: bytes, file: VolumeFile, rule: RescaleRule) -> bytes:
    """Return the digest of what is encoded: the bytes, and how they are turned into Hounsfield units."""
    how = repr((rule, file.table_rescale, file.table_spacing_mm))
    return hashlib.sha256(sha256 + how.encode()).digest()


def shown_content(sha256: bytes) -> bytes:
    """Return what is kept of a volume that is only shown, from the digest of its bytes: no table is read."""
    return volume_content(sha256, _WITHOUT_TABLE, "auto")


def read_volume(file: VolumeFile, rule: RescaleRule, grid: VolumeGrid) -> PreparedVolume:
    """Bring a volume to the encoder's grid; the array is float32 (slices, rows, columns) in [-1, 1].

    Raises:
        VolumeError: the file is not a readable CT in Hounsfield units.
    """
    if file.kind == "phantom":
        hu_DHW, spacing_mm = draw_volume(file.uri)
        return PreparedVolume(
            volume_DHW=grid_from_hounsfield(hu_DHW, spacing_mm, grid),
            rescale_source="none",
            rescale=(1.0, 0.0),
            spacing_mm=(spacing_mm[1], spacing_mm[2], spacing_mm[0]),
            warnings=(),
        )
    return prepare_volume(
        file.readable,
        rule=rule,
        table_rescale=file.table_rescale,
        table_spacing_mm=file.table_spacing_mm,
        grid=grid,
    )


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path.name} cannot be read ({error.strerror}): check that it exists and that you may read it"
