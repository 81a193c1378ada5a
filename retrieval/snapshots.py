"""Snapshots of collections for the engine in memory: when they are built, kept, renewed and deleted.

A snapshot is derived from PostgreSQL and immutable. What was written since is found beside it
(`retrieval.row_sets.Newer`), what was deleted since is not confirmed by PostgreSQL (`retrieval.engines`), so
a snapshot that lies behind costs time and no case; far behind, it is built again.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from retrieval.named_cases import LatentKind
from retrieval.postgres_errors import database_errors
from retrieval.records import CollectionInfo
from retrieval.schema import partition_name
from retrieval.snapshot_files import (
    LOCK,
    Manifest,
    Part,
    Snapshot,
    UnusableSnapshotError,
    check_manifest,
    delete_snapshot,
    load_snapshot,
    read_manifest,
    save_manifest,
    save_part,
)

FAISS_FROM_ROWS = 2_000
"""Latents from which a snapshot pays: PostgreSQL compares fewer with a question in a few milliseconds."""

_BEHIND_ROWS, _BEHIND_SHARE = 10_000, 0.1  # renewed when more rows than either are newer
_KINDS: tuple[LatentKind, ...] = ("volume", "report")
_ASKED_AGAIN_S = 10.0  # how long "not far behind" is believed
_LOADED_AGAIN = 5  # times, where others replace the snapshot meanwhile

Progress = Callable[[int, int], None]  # latents read, of how many


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotState:
    """How a collection's snapshot stands beside its rows; `problem` says why there is none to use."""

    kind: IndexKind | None = None
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

    def current(self, info: CollectionInfo) -> Snapshot | None:
        """Return a snapshot to search, built where it is missing, unusable or far behind.

        Returns:
            None where PostgreSQL alone is to answer: FAISS is not installed, the collection is small, or
            another process is building the first snapshot right now.

        Raises:
            DatabaseError: the server is away.
            StorageError: a snapshot cannot be written.
        """
        if not is_installed():
            return None
        try:
            found = self.load(info)
        except UnusableSnapshotError:
            return self._build_unless_another_does(info, None) if self._is_large(info) else None
        if self._is_far_behind(info, found.manifest):
            return self._build_unless_another_does(info, found)
        return found

    def required(self, info: CollectionInfo) -> Snapshot:
        """Return a snapshot to search, however small the collection; where there is none it is built.

        Raises:
            ConfigError: FAISS is not installed.
            StorageError: the snapshot cannot be written.
        """
        open_faiss()
        try:
            return self.load(info)
        except UnusableSnapshotError:
            return self.build(info)

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
        """Say how the snapshot of a collection stands; its data files are not read."""
        try:
            manifest = read_manifest(self.folder(info))
            check_manifest(manifest, self._archive_name(), info)
        except UnusableSnapshotError as error:
            return SnapshotState(problem=str(error))
        return SnapshotState(
            kind=manifest.kind,
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
        folder = self.folder(info)
        if folder.is_dir():
            with self._build_lock(info):
                delete_snapshot(folder)
        with self._loading:
            self._loaded.pop(info.id, None)

    def folder(self, info: CollectionInfo) -> Path:
        """Return where a collection's snapshot lies, whether it is there or not."""
        cluster = self._archive_name().rsplit("/", 1)[0].replace("/", "-")
        return home() / "snapshots" / cluster / str(info.id)

    def _build_unless_another_does(self, info: CollectionInfo, old: Snapshot | None) -> Snapshot | None:
        try:
            with self._build_lock(info, wait=False):
                try:  # another may just have built it
                    found = self.load(info)
                    if not self._is_far_behind(info, found.manifest):
                        return found
                except UnusableSnapshotError:
                    pass
                return self._build(info, None, None)
        except Timeout:
            return old

    def _build(self, info: CollectionInfo, kind: IndexKind | None, progress: Progress | None) -> Snapshot:
        folder = self.folder(info)
        with self._reading() as connection:
            pg_snapshot = connection.execute(text("SELECT pg_current_snapshot()::text")).scalar_one()
            kind = kind or self._kind_before(folder)
            total = _rows_up_to(connection, info, None)
            parts = {
                item: part
                for item in _KINDS
                if len((part := _read_part(connection, info, item, kind, _counted(progress, total))).latents)
            }
        manifest = Manifest(
            archive=self._archive_name(),
            collection_id=info.id,
            collection=info.name,
            encoder_digest=info.encoder_digest,
            preprocessing_digest=info.preprocessing_digest,
            latent_dim=info.latent_dim,
            pg_snapshot=pg_snapshot,
            kind=kind,
            built_at=datetime.now(UTC),
            parts={item: save_part(folder, item, part) for item, part in parts.items()},
        )
        save_manifest(folder, manifest)
        return self.load(info)

    def _kind_before(self, folder: Path) -> IndexKind:
        try:
            return read_manifest(folder).kind
        except UnusableSnapshotError:
            return "flat"

    def _is_large(self, info: CollectionInfo) -> bool:
        with self._reading() as connection:
            return _rows_up_to(connection, info, FAISS_FROM_ROWS) >= FAISS_FROM_ROWS

    def _is_far_behind(self, info: CollectionInfo, manifest: Manifest) -> bool:
        """Whether a snapshot should be renewed; asked of the database now and then, not by every search."""
        near, since = self._near.get(info.id, ("", 0.0))
        if near == manifest.pg_snapshot and time.monotonic() - since < _ASKED_AGAIN_S:
            return False
        bearable = max(_BEHIND_ROWS, int(_BEHIND_SHARE * manifest.count))
        with self._reading() as connection:
            is_far = rows_newer(connection, info.id, manifest.pg_snapshot, up_to=bearable + 1) > bearable
        if not is_far:
            self._near[info.id] = (manifest.pg_snapshot, time.monotonic())
        return is_far

    @contextmanager
    def _build_lock(self, info: CollectionInfo, *, wait: bool = True) -> Iterator[None]:
        folder = self.folder(info)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the folder {folder} cannot be made ({error.strerror}): set CTSEARCH_HOME to another one"
            ) from error
        with FileLock(folder / LOCK, timeout=-1 if wait else 0, thread_local=False):
            yield

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with database_errors(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def _archive_name(self) -> str:
        if self._archive is None:
            with self._reading() as connection:
                self._archive = connection.execute(text(_ARCHIVE)).scalar_one()
        return self._archive


def rows_newer(
    connection: Connection, collection_id: int, pg_snapshot: str, *, up_to: int | None = None
) -> int:
    """Return how many of a collection's latents a snapshot does not hold; counting ends at `up_to`."""
    values = {"collection": collection_id, "snapshot": pg_snapshot, "up_to": up_to}
    return int(connection.execute(text(_NEWER), values).scalar_one())


def is_seen(connection: Connection, snapshot: Snapshot) -> bool:
    """Whether a transaction sees whatever a snapshot holds; not so if the snapshot was built after it began.

    What such a transaction still sees and the snapshot no longer holds would be lost.
    """
    values = {"snapshot": snapshot.manifest.pg_snapshot}
    return bool(connection.execute(text(_SEEN), values).scalar_one())


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
    query = sql.SQL("SELECT {item}, study_id, latent FROM {table} WHERE {item} IS NOT NULL").format(
        item=sql.Identifier(f"{item}_id"), table=sql.Identifier(partition_name(info.id))
    )
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

_SEEN = """
SELECT pg_snapshot_xmax(CAST(:snapshot AS pg_snapshot)) <= pg_snapshot_xmax(pg_current_snapshot())
    AND NOT EXISTS (
        SELECT FROM pg_snapshot_xip(pg_current_snapshot()) AS running
        WHERE pg_visible_in_snapshot(running, CAST(:snapshot AS pg_snapshot))
    )
"""

_NEWER = """
SELECT count(*) FROM (
    SELECT FROM embedding
    WHERE collection_id = :collection AND written_by >= pg_snapshot_xmin(CAST(:snapshot AS pg_snapshot))
        AND NOT pg_visible_in_snapshot(written_by, CAST(:snapshot AS pg_snapshot))
    LIMIT :up_to
)
"""
