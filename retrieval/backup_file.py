"""A backup's one file: a zip, not compressed, of a database dump, the key, uploads, and a manifest.

Any unzip opens it and pg_restore reads the dump, so that a backup outlives the program that made it. The
manifest is written last: a file that was cut off has none.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from encoders.errors import InputError

FORMAT = 1
MANIFEST, DUMP, KEY = "manifest.json", "archive.pgdump", "pseudonym.key"
UPLOADS = "uploads/"
BLOCK_BYTES = 1 << 20

Progress = Callable[[str, int, int | None], None]
"""Is told the step, bytes done, and of how many where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPart:
    """A member of the file, as it was written."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupManifest:
    """What a backup is of."""

    made_at: datetime
    ctsearch: str  # the version that made it
    schema: str  # revision of the tables
    postgres: int  # server_version_num
    pgvector: str
    database_bytes: int  # what it took on the server's disk
    rows: Mapping[str, int]  # by table
    parts: tuple[BackupPart, ...]

    @property
    def has_key(self) -> bool:
        """Whether the key behind pseudonyms is in it."""
        return any(part.name == KEY for part in self.parts)

    def part(self, name: str) -> BackupPart:
        """Return a part by name.

        Raises:
            InputError: there is none.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise InputError(f"the backup has no {name}: it was not made by ctsearch db backup")

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self) | {"format": FORMAT, "made_at": self.made_at.isoformat()}


class BackupWriter:
    """Writes parts one after the other and remembers their digests; used in a `with` block."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._zip = ZipFile(stream, "w", ZIP_STORED)
        self.parts: list[BackupPart] = []

    def __enter__(self) -> "BackupWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # no room for the directory of a file that is given up anyway
            self._zip.close()

    def add(self, name: str, blocks: Iterable[bytes]) -> None:
        """Write a part of any length."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as member:
            for block in blocks:
                member.write(block)
                digest.update(block)
                size += len(block)
        self.parts.append(BackupPart(name=name, bytes=size, sha256=digest.hexdigest()))

    def finish(self, manifest: BackupManifest) -> None:
        """Write the manifest, then the zip's own directory."""
        self._zip.writestr(MANIFEST, json.dumps(manifest.to_json(), indent=1))
        self._zip.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that is open for reading."""

    path: Path
    manifest: BackupManifest
    zip: ZipFile

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield a part's content."""
        with self.zip.open(name) as member:
            while block := member.read(BLOCK_BYTES):
                yield block

    def check(self, progress: Progress) -> None:
        """Read all of it and compare each part with its digest.

        Raises:
            InputError: a part is missing, shorter or other than it was.
        """
        total, done = sum(part.bytes for part in self.manifest.parts), 0
        for part in self.manifest.parts:
            digest, size = hashlib.sha256(), 0
            try:
                for block in self.blocks(part.name):
                    digest.update(block)
                    size += len(block)
                    done += len(block)
                    progress("checking the backup", done, total)
            except (BadZipFile, KeyError, EOFError, OSError) as error:
                raise InputError(f"{self.path} is damaged at {part.name}: take another backup") from error
            if (size, digest.hexdigest()) != (part.bytes, part.sha256):
                raise InputError(
                    f"{part.name} in {self.path} is not what was backed up (its SHA-256 differs): "
                    "take another backup"
                )


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """Yield a backup with its manifest; its parts are not looked at yet.

    Raises:
        InputError: the file is missing, cut off, or no backup.
    """
    try:
        opened = ZipFile(path)
    except OSError as error:
        raise InputError(f"the backup {path} cannot be read: {error.strerror or error}") from error
    except BadZipFile as error:
        raise InputError(
            f"{path} is no backup of ctsearch, or only the beginning of one: take another file"
        ) from error
    with opened:
        yield Backup(path=path, manifest=_manifest(opened, path), zip=opened)


def _manifest(opened: ZipFile, path: Path) -> BackupManifest:
    try:
        document = json.loads(opened.read(MANIFEST))
        if document.pop("format") != FORMAT:
            raise InputError(f"{path} is a backup of another format: restore it with the ctsearch of its day")
        document["made_at"] = datetime.fromisoformat(document["made_at"])
        document["parts"] = tuple(BackupPart(**part) for part in document["parts"])
        return BackupManifest(**document)
    except (BadZipFile, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no backup of ctsearch: it has no manifest of one") from error
