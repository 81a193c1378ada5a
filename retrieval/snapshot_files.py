"""A collection's latents on disk for the engine in memory: data files and the manifest that names them.

The manifest is written last and atomically, the data files before it under names that were never used: a
process that is killed at any point leaves the snapshot of before. What does not fit (another archive, another
encoder, a file that is shorter or other than it was) is refused with a reason and built again, never trusted.
"""

import json
import mmap
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from encoders.errors import InputError, StorageError
from retrieval.atomic_file import written_atomically
from retrieval.faiss_collection import FaissCollection, IndexKind
from retrieval.named_cases import LatentKind
from retrieval.records import CollectionInfo

_FORMAT = 2
_MANIFEST = "manifest.json"
LOCK = "build.lock"


class UnusableSnapshotError(Exception):
    """There is no snapshot that may be used; the message says why, and the remedy is to build one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file beside the manifest, as it was written."""

    name: str
    bytes: int
    crc32: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFiles:
    """The latents of one kind: how many, the index over them, and whose they are."""

    count: int
    kind: IndexKind  # what was built, which may be flat where there was little to learn from
    index: DataFile
    rows: DataFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a snapshot is of."""

    archive: str  # which database cluster, timeline and database: transaction numbers mean nothing elsewhere
    collection_id: int
    collection: str
    encoder_digest: str
    preprocessing_digest: str
    latent_dim: int
    pg_snapshot: str  # what the transaction that read the latents saw
    table_file: int  # of PostgreSQL, in which they were
    kind: IndexKind  # what was asked for
    built_at: datetime
    parts: Mapping[LatentKind, PartFiles]

    @property
    def count(self) -> int:
        """Latents of all kinds."""
        return sum(part.count for part in self.parts.values())

    @property
    def size_bytes(self) -> int:
        """Of all data files."""
        return sum(part.index.bytes + part.rows.bytes for part in self.parts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Latents of one kind; position n of the index is item n of study n."""

    item_id_N: NDArray[np.int64]
    study_id_N: NDArray[np.int64]
    latents: FaissCollection


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A manifest with its data."""

    manifest: Manifest
    parts: Mapping[LatentKind, Part]


def check_room(folder: Path, needed_bytes: int) -> None:
    """Look whether there is room for a snapshot before all of it is read.

    Raises:
        StorageError: there is not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageError(
            f"the snapshot in {folder} takes {needed_bytes >> 20:,} MB and its disk has "
            f"{free >> 20:,} MB free: make room or set CTSEARCH_HOME to another folder"
        )


def save_part(folder: Path, kind: LatentKind, part: Part) -> PartFiles:
    """Write the data files of one kind of latent.

    Raises:
        StorageError: they cannot be written.
    """
    token = secrets.token_hex(8)
    index, rows = folder / f"{kind}-{token}.faiss", folder / f"{kind}-{token}.npy"
    part.latents.write(index)
    with written_atomically(rows) as stream:
        np.save(stream, np.stack([part.item_id_N, part.study_id_N]))
    return PartFiles(
        count=len(part.latents), kind=part.latents.kind, index=_described(index), rows=_described(rows)
    )


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Make a snapshot the one that is used, and delete what was left of others.

    Raises:
        StorageError: it cannot be written.
    """
    document = asdict(manifest) | {"count": manifest.count, "built_at": manifest.built_at.isoformat()}
    document = {"format": _FORMAT, "checksum": _checksum(document)} | document
    with written_atomically(folder / _MANIFEST) as stream:
        stream.write(json.dumps(document, indent=1).encode())
    delete_leftovers(folder)


def delete_leftovers(folder: Path) -> None:
    """Delete what a build left that was killed, and what others leave that were replaced.

    Only whoever holds the build lock may: a build under way writes files that no manifest names yet.
    """
    named: set[str] = set()
    with suppress(UnusableSnapshotError):
        parts = read_manifest(folder).parts.values()
        named = {file.name for part in parts for file in (part.index, part.rows)}
    with suppress(OSError):  # they cost room and nothing else; the next build tries again
        _delete_all_but(folder, {*named, _MANIFEST, LOCK})


def delete_snapshot(folder: Path) -> None:
    """Delete a snapshot, the manifest first: what is left half deleted is no snapshot.

    Raises:
        StorageError: its files cannot be deleted.
    """
    try:
        (folder / _MANIFEST).unlink(missing_ok=True)
        if folder.is_dir():
            _delete_all_but(folder, {LOCK})
    except OSError as error:
        raise StorageError(
            f"the snapshot in {folder} cannot be deleted ({error.strerror}): delete it yourself"
        ) from error


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in a folder.

    Raises:
        UnusableSnapshotError: there is none, or it is damaged or of another format.
    """
    try:
        document = json.loads((folder / _MANIFEST).read_bytes())
        if document.pop("format") != _FORMAT:
            raise UnusableSnapshotError("the snapshot is of another version of ctsearch")
        if document.pop("checksum") != _checksum(document):
            raise UnusableSnapshotError("the snapshot's manifest has another checksum than was written")
        document.pop("count")
        document["built_at"] = datetime.fromisoformat(document["built_at"])
        document["parts"] = {kind: _part_files(part) for kind, part in document["parts"].items()}
        return Manifest(**document)
    except FileNotFoundError as error:
        raise UnusableSnapshotError("there is no snapshot yet") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnusableSnapshotError("the snapshot's manifest is damaged") from error


def check_manifest(manifest: Manifest, archive: str, info: CollectionInfo) -> None:
    """Refuse a snapshot of something else.

    Raises:
        UnusableSnapshotError: it is of another archive, collection, encoder or preprocessing.
    """
    if manifest.archive != archive:
        raise UnusableSnapshotError("the snapshot is of another archive")
    of = (manifest.collection_id, manifest.encoder_digest, manifest.preprocessing_digest, manifest.latent_dim)
    if of != (info.id, info.encoder_digest, info.preprocessing_digest, info.latent_dim):
        raise UnusableSnapshotError("the snapshot is of another collection or encoder")


def load_snapshot(folder: Path, manifest: Manifest) -> Snapshot:
    """Check a snapshot's data files against the manifest and map them.

    Raises:
        UnusableSnapshotError: a file is missing, or not what was written.
    """
    check_sizes(folder, manifest)
    parts = {kind: _load_part(folder, files, manifest) for kind, files in manifest.parts.items()}
    return Snapshot(manifest=manifest, parts=parts)


def _load_part(folder: Path, files: PartFiles, manifest: Manifest) -> Part:
    try:
        if any(_described(folder / file.name) != file for file in (files.index, files.rows)):
            raise UnusableSnapshotError("a file of the snapshot has another checksum than was written")
        latents = FaissCollection.read(folder / files.index.name, files.kind)
        rows_2N = np.load(folder / files.rows.name, allow_pickle=False)
    except (InputError, ValueError, OSError) as error:
        raise UnusableSnapshotError("the snapshot's files cannot be read") from error
    if (len(latents), latents.latent_dim, rows_2N.shape) != (
        files.count,
        manifest.latent_dim,
        (2, files.count),
    ):
        raise UnusableSnapshotError("the snapshot's files do not belong together")
    return Part(item_id_N=rows_2N[0], study_id_N=rows_2N[1], latents=latents)


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Look whether a snapshot's data files are there, and whole; what is in them is not read.

    Raises:
        UnusableSnapshotError: one is missing, or longer or shorter than it was written.
    """
    for file in (file for part in manifest.parts.values() for file in (part.index, part.rows)):
        try:
            found = (folder / file.name).stat().st_size
        except OSError as error:
            raise UnusableSnapshotError("a file of the snapshot is missing") from error
        if found != file.bytes:
            raise UnusableSnapshotError(f"a file of the snapshot has {found} bytes and not {file.bytes}")


def _described(path: Path) -> DataFile:
    size = path.stat().st_size
    if size == 0:
        return DataFile(name=path.name, bytes=0, crc32=0)
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return DataFile(name=path.name, bytes=size, crc32=isal_zlib.crc32(content))


def _checksum(document: Mapping[str, Any]) -> int:
    """CRC-32 of a manifest's document: one digit of `pg_snapshot` that flips would hide latents."""
    return isal_zlib.crc32(json.dumps(document, sort_keys=True).encode())


def _part_files(document: dict[str, Any]) -> PartFiles:
    index, rows = DataFile(**document.pop("index")), DataFile(**document.pop("rows"))
    return PartFiles(index=index, rows=rows, **document)


def _delete_all_but(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            with suppress(FileNotFoundError):
                path.unlink()
