"""Snapshots of collections for the engine in memory: when they are built, kept, renewed and deleted.

A snapshot is derived from PostgreSQL and immutable. What was written since is found beside it
(`retrieval.row_sets.Newer`), what was deleted since is not confirmed by PostgreSQL (`retrieval.engines`), so
a snapshot that lies behind costs time and no case; far behind, it is built again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection

from encoders.errors import StorageError
from retrieval.database_address import home
from retrieval.faiss_collection import FaissCollection, IndexKind, is_installed, open_faiss
from retrieval.latent_copy import latent_blocks
from retrieval.named_cases import LATENT_KINDS, LatentKind
from retrieval.postgres_errors import database_errors
from retrieval.records import CollectionInfo
from retrieval.sessions import one_state
from retrieval.snapshot_age import is_of_this_past, number_anew, rows_newer, table_file
from retrieval.snapshot_files import (
    LOCK,
    Manifest,
    Part,
    Snapshot,
    UnusableSnapshotError,
    check_manifest,
    check_room,
    check_sizes,
    delete_leftovers,
    delete_snapshot,
    load_snapshot,
    read_manifest,
    save_manifest,
    save_part,
)

FAISS_FROM_ROWS = 2_000
"""Latents from which a snapshot pays: PostgreSQL compares fewer with a question in a few milliseconds."""

_BEHIND_ROWS, _BEHIND_SHARE = 10_000, 0.1  # renewed when more rows than either are newer
_ASKED_AGAIN_S = 10.0  # how long "not far behind" is believed
_LOADED_AGAIN = 5  # times, where others replace the snapshot meanwhile
_GIVEN_UP_S = 60.0  # before a search tries again to write where there is no room

Progress = Callable[[int, int], None]  # latents read, of how many


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotState:
    """How a collection's snapshot stands beside its rows; `problem` says why there is none to use."""

    kind: IndexKind | None = None  # that was asked for
    built: str | None = None  # that there is: flat where there were too few latents for another
    count: int = 0
    behind: int = 0  # rows that are newer
    size_bytes: int = 0
    built_at: datetime | None = None
    problem: str | None = None


@dataclass(slots=True)
class Snapshots:
    """The snapshots of one archive under this home, each loaded once; several threads may ask."""

    engine: Engine
    _loaded: dict[int, Snapshot] = field(default_factory=dict)
    _loading: threading.Lock = field(default_factory=threading.Lock)
    _near: dict[int, tuple[str, float]] = field(default_factory=dict)  # not far behind: which, and when
    _archive: str | None = None
    _given_up: dict[int, float] = field(default_factory=dict)  # until when, by `time.monotonic`

    def current(self, info: CollectionInfo) -> Snapshot | None:
        """Return a snapshot to search, built where it is missing, unusable or far behind.

        Returns:
            None where PostgreSQL alone is to answer: FAISS is not installed, the collection is small,
            another process is building the first snapshot right now, or it could not be written lately.

        Raises:
            DatabaseError: the server is away.
            StorageError: a snapshot cannot be written; the next searches do not try again for a while.
        """
        if not is_installed():
            return None
        found = self._usable(info)
        if found is None and not self._is_large(info):
            self._loaded.pop(info.id, None)
            return None
        if time.monotonic() < self._given_up.get(info.id, 0.0):
            return found
        try:
            return self._renewed(info, found, wait=False)
        except StorageError:
            self._given_up[info.id] = time.monotonic() + _GIVEN_UP_S
            raise

    def required(self, info: CollectionInfo) -> Snapshot:
        """Return a snapshot to search, however small the collection; one that is being built is waited for.

        Raises:
            ConfigError: FAISS is not installed.
            StorageError: the snapshot cannot be written.
        """
        open_faiss()
        found = self._renewed(info, self._usable(info), wait=True)
        return self.build(info) if found is None else found

    def load(self, info: CollectionInfo) -> Snapshot:
        """Return the snapshot that is there.

        Raises:
            UnusableSnapshotError: there is none, or it may not be trusted.
        """
        folder = self.folder(info)
        for _ in range(_LOADED_AGAIN):
            manifest = read_manifest(folder)
            with self._loading:
                loaded = self._loaded.get(info.id)
                if loaded is not None and loaded.manifest == manifest:
                    return loaded
                check_manifest(manifest, self._archive_name(), info)
                try:
                    self._loaded[info.id] = load_snapshot(folder, manifest)
                    return self._loaded[info.id]
                except UnusableSnapshotError as error:
                    reason = error
            if read_manifest(folder) == manifest:
                raise reason
        raise reason

    def build(
        self, info: CollectionInfo, *, kind: IndexKind | None = None, progress: Progress | None = None
    ) -> Snapshot:
        """Read a collection's latents in one transaction and make them its snapshot.

        Args:
            info: of the collection.
            kind: of index; None keeps the kind of the snapshot before, or takes a flat one.
            progress: is told how many latents were read, of how many.

        Raises:
            ConfigError: FAISS is not installed.
            StorageError: the snapshot cannot be written.
        """
        with self._build_lock(info):
            return self._build(info, kind, progress)

    def state(self, connection: Connection, info: CollectionInfo) -> SnapshotState:
        """Say how the snapshot of a collection stands; what is in its data files is not read."""
        try:
            manifest = read_manifest(self.folder(info))
            check_manifest(manifest, self._archive_name(), info)
            check_sizes(self.folder(info), manifest)
        except UnusableSnapshotError as error:
            return SnapshotState(problem=str(error))
        return SnapshotState(
            kind=manifest.kind,
            built=" and ".join(sorted({part.kind for part in manifest.parts.values()})) or manifest.kind,
            count=manifest.count,
            behind=rows_newer(connection, info.id, manifest.pg_snapshot),
            size_bytes=manifest.size_bytes,
            built_at=manifest.built_at,
        )

    def delete(self, info: CollectionInfo) -> None:
        """Delete a collection's snapshot, also one that is being built: a case was removed, or all of them.

        Raises:
            StorageError: it cannot be deleted.
        """
        if self.folder(info).is_dir():
            with self._build_lock(info):
                self._delete(info)
        with self._loading:
            self._loaded.pop(info.id, None)

    @contextmanager
    def none_built(self, infos: Sequence[CollectionInfo]) -> Iterator[Callable[[CollectionInfo], None]]:
        """Keep the snapshots of collections from being built while cases are removed.

        Builds under way are waited for now, not between the removal and the deletion of its traces.

        Args:
            infos: collections that may hold latents of the cases.

        Yields:
            What deletes the snapshot of one of them, once the removal is committed.

        Raises:
            StorageError: a folder of snapshots cannot be used.
        """
        with ExitStack() as locks:
            held = set()
            for info in sorted(infos, key=lambda info: info.id):
                if self.folder(info).is_dir():
                    locks.enter_context(self._build_lock(info))
                    held.add(info.id)
            yield lambda info: self._delete(info) if info.id in held else self.delete(info)

    def folder(self, info: CollectionInfo) -> Path:
        """Return where a collection's snapshot lies, whether it is there or not."""
        cluster = self._archive_name().rsplit("/", 1)[0].replace("/", "-")
        return home() / "snapshots" / cluster / str(info.id)

    def _delete(self, info: CollectionInfo) -> None:
        """Delete a snapshot whose build lock is held."""
        delete_snapshot(self.folder(info))
        self._loaded.pop(info.id, None)

    def _usable(self, info: CollectionInfo) -> Snapshot | None:
        with suppress(UnusableSnapshotError):
            return self.load(info)
        return None

    def _renewed(self, info: CollectionInfo, found: Snapshot | None, *, wait: bool) -> Snapshot | None:
        """Return the snapshot that is there; built by one of all that ask where there is none or it is old.

        Args:
            info: of the collection.
            found: what is there.
            wait: for another that builds the first one; None is returned if not.
        """
        if found is not None and not self._is_outdated(info, found.manifest):
            return found
        try:
            with self._build_lock(info, wait=wait and found is None):
                again = self._usable(info)
                if again is not None and not self._is_outdated(info, again.manifest):
                    return again
                return self._build(info, None, None)
        except Timeout:
            return found

    def _build(self, info: CollectionInfo, kind: IndexKind | None, progress: Progress | None) -> Snapshot:
        folder = self.folder(info)
        delete_leftovers(folder)
        try:
            self._write(info, folder, kind or self._kind_before(folder), progress)
        except BaseException:
            delete_leftovers(folder)
            raise
        return self.load(info)

    def _write(self, info: CollectionInfo, folder: Path, kind: IndexKind, progress: Progress | None) -> None:
        with database_errors(), self.engine.begin() as connection:
            number_anew(connection, info.id)
        with one_state(self.engine) as connection:
            pg_snapshot = connection.execute(text("SELECT pg_current_snapshot()::text")).scalar_one()
            file, total = table_file(connection, info.id), _rows_up_to(connection, info, None)
            check_room(folder, total * info.latent_dim * np.dtype(np.float32).itemsize)
            parts = {
                item: part
                for item in LATENT_KINDS
                if len((part := _read_part(connection, info, item, kind, _counted(progress, total))).latents)
            }
        self._flush_transactions()
        manifest = Manifest(
            archive=self._archive_name(),
            collection_id=info.id,
            collection=info.name,
            encoder_digest=info.encoder_digest,
            preprocessing_digest=info.preprocessing_digest,
            latent_dim=info.latent_dim,
            pg_snapshot=pg_snapshot,
            table_file=file,
            kind=kind,
            built_at=datetime.now(UTC),
            parts={item: save_part(folder, item, part) for item, part in parts.items()},
        )
        save_manifest(folder, manifest)

    def _flush_transactions(self) -> None:
        """Let the numbers of all transactions that a snapshot knows reach the server's disk.

        After a crash PostgreSQL gives a number again that no log on disk holds, of a transaction that was
        aborted or committed asynchronously: what the second one writes would count as in the snapshot.
        """
        with database_errors(), self.engine.begin() as connection:
            connection.execute(text("SET TRANSACTION READ WRITE"))
            connection.execute(text("SET LOCAL synchronous_commit = on"))
            connection.execute(text("SELECT pg_logical_emit_message(true, 'ctsearch', 'snapshot')"))

    def _kind_before(self, folder: Path) -> IndexKind:
        try:
            return read_manifest(folder).kind
        except UnusableSnapshotError:
            return "flat"

    def _is_large(self, info: CollectionInfo) -> bool:
        with one_state(self.engine) as connection:
            return _rows_up_to(connection, info, FAISS_FROM_ROWS) >= FAISS_FROM_ROWS

    def _is_outdated(self, info: CollectionInfo, manifest: Manifest) -> bool:
        """Whether a snapshot should be renewed; asked of the database now and then, not by every search.

        It should where it lies far behind; where it knows transactions that are still to come, because the
        server's disk was put back to an earlier day; and where latents were restored from a dump.
        """
        near, since = self._near.get(info.id, ("", 0.0))
        if near == manifest.pg_snapshot and time.monotonic() - since < _ASKED_AGAIN_S:
            return False
        bearable = max(_BEHIND_ROWS, int(_BEHIND_SHARE * manifest.count))
        with one_state(self.engine) as connection:
            is_known = is_of_this_past(connection, manifest.pg_snapshot)
            is_known &= table_file(connection, info.id) == manifest.table_file
            newer = rows_newer(connection, info.id, manifest.pg_snapshot, up_to=bearable + 1)
        if is_known and newer <= bearable:
            self._near[info.id] = (manifest.pg_snapshot, time.monotonic())
            return False
        return True

    @contextmanager
    def _build_lock(self, info: CollectionInfo, *, wait: bool = True) -> Iterator[None]:
        folder = self.folder(info)
        lock = FileLock(folder / LOCK, timeout=-1 if wait else 0, thread_local=False)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # latents are of patients
            lock.acquire()
        except Timeout:
            raise
        except OSError as error:
            raise StorageError(
                f"the folder {folder} cannot be written ({error.strerror or error}): "
                "set CTSEARCH_HOME to another one"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _archive_name(self) -> str:
        if self._archive is None:
            with one_state(self.engine) as connection:
                self._archive = connection.execute(text(_ARCHIVE)).scalar_one()
        return self._archive


def _rows_up_to(connection: Connection, info: CollectionInfo, limit: int | None) -> int:
    rows = "SELECT FROM embedding WHERE collection_id = :id LIMIT :limit"
    counted = text(f"SELECT count(*) FROM ({rows})")  # noqa: S608 - a constant
    return int(connection.execute(counted, {"id": info.id, "limit": limit}).scalar_one())


def _read_part(
    connection: Connection,
    info: CollectionInfo,
    item: LatentKind,
    kind: IndexKind,
    read: Callable[[int], None],
) -> Part:
    query = sql.SQL(
        "SELECT {item}, study_id, latent FROM embedding WHERE collection_id = {id} AND {item} IS NOT NULL"
    ).format(item=sql.Identifier(f"{item}_id"), id=sql.Literal(info.id))
    keys: list[np.ndarray] = [np.empty((0, 2), np.int64)]

    def latents() -> Iterator[np.ndarray]:
        for keys_N2, latents_NL in latent_blocks(connection, query, info.latent_dim, keys=2):
            keys.append(keys_N2)
            read(len(keys_N2))
            yield latents_NL

    built = FaissCollection.build(latents(), info.latent_dim, kind)
    keys_N2 = np.concatenate(keys)
    return Part(item_id_N=keys_N2[:, 0].copy(), study_id_N=keys_N2[:, 1].copy(), latents=built)


def _counted(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def read(rows: int) -> None:
        nonlocal done
        done += rows
        if progress is not None:
            progress(done, total)

    return read


_ARCHIVE = """
SELECT format('%s/%s/%s', to_hex(system_identifier), pg_database.oid, timeline_id)
FROM pg_control_system(), pg_control_checkpoint(), pg_database WHERE datname = current_database()
"""
