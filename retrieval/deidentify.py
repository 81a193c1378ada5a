"""The key behind pseudonyms and sealed identities; texts and headers are cleared in the files beside it."""

import base64
import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from encoders.errors import ConfigError, StorageError

DEIDENTIFICATION_VERSION = 1
"""Raised whenever stored text or metadata would come out different: part of the preprocessing digest."""

PseudonymKind = Literal["patient", "study", "volume", "report"]
KEY_BYTES = 32
_PSEUDONYM_CHARACTERS = 16  # of base32: 80 bits, so that a million names collide once in 10^12 archives
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random nonces of 96 bits
_SEAL_VERSION = b"\x01"


@dataclass(frozen=True, slots=True)
class PseudonymKey:
    """An archive's secret. Whoever has it can tell pseudonyms from names; without it they lead nowhere.

    It belongs in the backup: pseudonyms of another key are other patients, and sealed identities stay sealed.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ConfigError(f"a pseudonym key has {KEY_BYTES} bytes, found {len(self.secret)}")

    @classmethod
    def load_or_create(cls, path: Path) -> "PseudonymKey":
        """Read the key file, or make one that only its owner can read.

        Two processes that start at once get the same key; a key is never half written.

        Raises:
            ConfigError: the file is not a key, cannot be read, or can be read by others.
            StorageError: it cannot be written.
        """
        try:
            return cls(_read_private(path))
        except FileNotFoundError:
            pass
        cls(secrets.token_bytes(KEY_BYTES)).save(path)
        return cls(_read_private(path))

    def save(self, path: Path) -> None:
        """Write the key where there is none, for its owner's eyes only; never half of it.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            _write_private(path, self.secret)
        except OSError as error:
            raise StorageError(f"the pseudonym key cannot be written to {path}: {error.strerror}") from error

    def pseudonym(self, kind: PseudonymKind, dataset: str, name: str) -> str:
        """Return the name that stands for another: always the same, and of no use without the key.

        Args:
            kind: what is named; equal names of different kinds get unrelated pseudonyms.
            dataset: likewise.
            name: the source's own name, any text.
        """
        message = b"".join(
            len(part).to_bytes(8, "big") + part for part in (text.encode() for text in (kind, dataset, name))
        )
        digest = hmac.digest(self._derived(b"ctsearch pseudonyms"), message, hashlib.sha256)
        return f"{kind}-{base64.b32encode(digest).decode().lower()[:_PSEUDONYM_CHARACTERS]}"

    def encrypt(self, plain: bytes) -> bytes:
        """Seal what identity_link keeps (AES-256-GCM, its own key by HKDF); never twice the same."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _SEAL_VERSION + nonce + self._cipher().encrypt(nonce, plain, _SEAL_VERSION)

    def decrypt(self, sealed: bytes) -> bytes:
        """Open what `encrypt` sealed.

        Raises:
            ConfigError: it was sealed with another key, or has been altered.
        """
        version, nonce, body = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if version != _SEAL_VERSION or len(nonce) != _NONCE_BYTES:
                raise InvalidTag
            return self._cipher().decrypt(nonce, body, version)
        except InvalidTag as error:
            raise ConfigError(
                "an identity cannot be opened with this archive's key: "
                "restore the key file that belongs to the database"
            ) from error

    def _cipher(self) -> AESGCM:
        return AESGCM(self._derived(b"ctsearch identity_link"))

    def _derived(self, purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(self.secret)


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(KEY_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"the pseudonym key {path} cannot be read: {error.strerror}") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"the pseudonym key {path} can be read by others (mode {stat.S_IMODE(mode):04o}): "
            f"run chmod 600 {path}, and take a new archive if somebody may have copied it"
        )
    if len(content) != KEY_BYTES:
        raise ConfigError(
            f"{path} is not a pseudonym key of {KEY_BYTES} bytes: restore it from the backup, "
            "because a new one would make every patient another one"
        )
    return content


def _write_private(path: Path, content: bytes) -> None:
    """Write through a neighbour that only the owner can read, so that the name never holds part of a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    neighbour = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(neighbour, path)  # unlike a rename, it fails where another process was first
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            if not path.exists():
                neighbour.rename(path)
    finally:
        neighbour.unlink(missing_ok=True)
