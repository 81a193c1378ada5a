"""The encoder's tokens of volumes, computed once and kept: what a language model is shown of a scan.

A volume of the published grid has 13,824 tokens of 512 numbers, 28 MB. Where the encoder has a codebook, what
is kept is the row of each, 28 KB; where it has none, the tokens in half precision. A file is found by its
content alone: the digest of the volume's bytes and of how they became Hounsfield units, the preprocessing and
the encoder. A file's name or place says nothing, so another scan under an old name is another scan. Files are
whole or not there and carry a checksum; a damaged one is made again, and the folder may be deleted any time.
"""

import hashlib
import logging
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.encoder import Encoder
from encoders.errors import StorageError
from encoders.volumes import preprocessing_digest
from retrieval.atomic_file import written_atomically
from retrieval.cases import RescaleRule, VolumeFile
from retrieval.kept_by_content import folder_of
from retrieval.reading import file_sha256, read_volume, volume_content

_HEADER = struct.Struct("<8s4sIIII")  # magic, kind, tokens, width, CRC-32 of what follows, its length
_MAGIC = b"CTSTOK01"
_IDS, _HALVES = b"ids ", b"half"
_MOST_IDS = 1 << 16  # of a codebook whose rows two bytes can name
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VolumeTokens:
    """Gives the tokens of volumes, from the folder where they are in it.

    Attributes:
        folder: where they are kept; made when it is needed. None keeps nothing.
        encoder: whose tokens.
        rule: who is believed about Hounsfield units, as in `encoders.volumes.prepare_volume`.
    """

    folder: Path | None
    encoder: Encoder
    rule: RescaleRule = "auto"

    def read(self, file: VolumeFile) -> Tensor:
        """Return the tokens of a volume, float32 (N, C).

        Whether they were kept changes nothing in what is returned.

        Raises:
            VolumeError: the file is not a readable CT in Hounsfield units.
            ConfigError: the encoder has no tokens.
        """
        path = None if self.folder is None else self._path(file)
        kept = None if path is None else _load(path)
        if kept is None:
            kept = self._computed(file)
            if path is not None:
                _store(path, kept)
        if kept.dtype == np.uint16:
            return self.encoder.tokens_of_ids(torch.from_numpy(kept.astype(np.int64)))
        return torch.from_numpy(kept.astype(np.float32))

    def describe(self) -> str:
        """Say in a sentence what is kept of a volume, and where."""
        if self.folder is None:
            return (
                f"tokens of {self.encoder.name} are kept nowhere: a volume is encoded each time it is shown"
            )
        what = "codebook ids" if self._has_ids else "tokens as float16"
        return f"{what} of {self.encoder.name} are kept in {self.folder}, by the content of the volume"

    @property
    def _has_ids(self) -> bool:
        return 0 < self.encoder.codebook_size <= _MOST_IDS

    def _computed(self, file: VolumeFile) -> NDArray[np.generic]:
        volume_DHW = read_volume(file, self.rule, self.encoder.grid).volume_DHW
        volume_BCDHW = torch.from_numpy(np.ascontiguousarray(volume_DHW, np.float32))[None, None]
        if self._has_ids:
            return self.encoder.codebook_ids(volume_BCDHW).flatten().numpy().astype("<u2")
        return self.encoder.volume_tokens(volume_BCDHW)[0].flatten(0, 2).numpy().astype("<f2")

    def _path(self, file: VolumeFile) -> Path:
        content = volume_content(file_sha256(file), file, self.rule)
        shown_to = f"{self.encoder.digest} {preprocessing_digest(self.encoder.grid)}"
        name = hashlib.sha256(shown_to.encode()).hexdigest()[:32]
        return folder_of(self.folder or Path(), content) / f"{name}.tokens"


def _load(path: Path) -> NDArray[np.generic] | None:
    """What a file keeps: uint16 (N,) or float16 (N, C); None if it is not there or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    with suppress(struct.error, ValueError):
        magic, kind, count, width, checksum, length = _HEADER.unpack_from(data)
        raw = data[_HEADER.size :]
        if magic == _MAGIC and len(raw) == length and crc32(raw) == checksum and kind in (_IDS, _HALVES):
            if kind == _IDS:
                return np.frombuffer(raw, "<u2", count)
            return np.frombuffer(raw, "<f2", count * width).reshape(count, width)
    _log.warning("%s among the kept tokens is damaged and is made again", path.name)
    return None


def _store(path: Path, kept: NDArray[np.generic]) -> None:
    """Keep tokens, or say that there is no room: the next question encodes the volume again."""
    raw = kept.tobytes()
    is_ids = kept.dtype == np.uint16
    header = _HEADER.pack(
        *(
            _MAGIC,
            _IDS if is_ids else _HALVES,
            len(kept),
            0 if is_ids else kept.shape[1],
            crc32(raw),
            len(raw),
        )
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(path) as stream:
            stream.write(header + raw)
    except (OSError, StorageError) as error:
        _log.warning("tokens of a volume are not kept, so it will be encoded again: %s", error)
