"""Volumes on the encoder's grid, kept on disk so that the second epoch does not decode them again.

A volume is kept in Hounsfield units, 16 bits a voxel, compressed: about a third of the 111 MB that one of the
published grid has. Its file's name is a digest of the bytes it comes from, how they became Hounsfield units,
and the preprocessing; what was kept for other bytes or another grid is never found. Files lie in 256 folders
by the start of that name, are whole or not there, and carry a checksum: several processes and machines may
fill one cache, a run may be killed anywhere, and a damaged file is made again.
"""

import hashlib
import logging
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from encoders.config import VolumeGrid
from encoders.errors import StorageError
from encoders.volumes import preprocessing_digest
from retrieval.atomic_file import written_atomically
from retrieval.cases import RescaleRule, VolumeFile
from retrieval.reading import file_sha256, read_volume, stat_file, volume_content

_HEADER = struct.Struct("<8s3III")  # magic, shape, CRC-32 of the voxels, length of what follows
_MAGIC = b"CTSVOL01"
_FAST = 1  # of the compression
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeCache:
    """Reads volumes, from the cache where they are in it.

    Attributes:
        folder: of the cache; None keeps nothing.
        grid: that volumes are brought to.
        rule: who is believed about Hounsfield units, as in `encoders.volumes.prepare_volume`.
    """

    folder: Path | None
    grid: VolumeGrid
    rule: RescaleRule = "auto"

    def read(self, file: VolumeFile) -> NDArray[np.float32]:
        """Return a volume on the grid, float32 (slices, rows, columns) in [-1, 1], to whole Hounsfield units.

        Whether it was in the cache changes nothing in what is returned.

        Raises:
            VolumeError: the file is not a readable CT in Hounsfield units.
        """
        path = None if self.folder is None else self.folder / self._name(file)
        hu_DHW = None if path is None else _load(path, self.grid)
        if hu_DHW is None:
            hu_DHW = np.rint(1000 * read_volume(file, self.rule, self.grid).volume_DHW).astype("<i2")
            if path is not None:
                _store(path, hu_DHW)
        return hu_DHW.astype(np.float32) / np.float32(1000)

    def _name(self, file: VolumeFile) -> str:
        content = volume_content(self._sha256(file), file, self.rule)
        key = hashlib.sha256(content + preprocessing_digest(self.grid).encode()).hexdigest()
        return f"{key[:2]}/{key}.hu"

    def _sha256(self, file: VolumeFile) -> bytes:
        """The digest of a file's bytes, which are read once as long as its size and time stay."""
        if self.folder is None or file.kind == "phantom":
            return file_sha256(file)
        stat = stat_file(file)
        seen = hashlib.sha256(repr((file.uri, stat.size, stat.mtime_ns)).encode()).hexdigest()
        path = self.folder / seen[:2] / f"{seen}.sha256"
        with suppress(OSError):
            known = path.read_bytes()
            if len(known) == hashlib.sha256().digest_size:
                return known
        digest = file_sha256(file)
        _write(path, digest)
        return digest


def _load(path: Path, grid: VolumeGrid) -> NDArray[np.int16] | None:
    """The voxels of a file of the cache; None if it is not there or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        magic, *shape, checksum, length = _HEADER.unpack_from(data)
        packed = memoryview(data)[_HEADER.size :]
        if magic == _MAGIC and tuple(shape) == grid.shape and len(packed) == length:
            raw = isal_zlib.decompress(packed)
            if isal_zlib.crc32(raw) == checksum:
                return np.frombuffer(raw, "<i2").reshape(grid.shape)
    except (struct.error, igzip_lib.IsalError, EOFError, ValueError):  # type: ignore[misc] # the stub has no class
        pass
    _log.warning("%s in the cache of volumes is damaged and is made again", path.name)
    return None


def _store(path: Path, hu_DHW: NDArray[np.int16]) -> None:
    raw = hu_DHW.tobytes()
    packed = isal_zlib.compress(raw, _FAST)
    _write(path, _HEADER.pack(_MAGIC, *hu_DHW.shape, isal_zlib.crc32(raw), len(packed)) + packed)


def _write(path: Path, data: bytes) -> None:
    """Keep data, or say that there is no room: the training does without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(path) as stream:
            stream.write(data)
    except (OSError, StorageError) as error:
        _log.warning("a volume is not kept in the cache, which makes later epochs slower: %s", error)
