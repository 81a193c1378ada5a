"""Backing up: the database as one transaction sees it, the key and, if wanted, uploads, in one file."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection

from encoders.errors import DatabaseError
from retrieval.archive_key import existing_key
from retrieval.archive_objects import DERIVED_TABLES, foreign_tables, row_counts
from retrieval.atomic_file import written_atomically
from retrieval.backup_file import (
    BLOCK_BYTES,
    DUMP,
    KEY,
    UPLOADS,
    BackupManifest,
    BackupWriter,
    Progress,
)
from retrieval.kept_uploads import uploads_folder
from retrieval.migrate import SchemaState, schema_state
from retrieval.postgres import open_engine
from retrieval.postgres_clients import Clients, close_quietly, failure_of, find_clients
from retrieval.sessions import one_state
from retrieval.store_removal import audit

PRIVATE = 0o600


def make_backup(
    path: Path, *, with_uploads: bool = False, progress: Progress, actor: str = "cli"
) -> BackupManifest:
    """Write a backup beside readers and writers; all of the file or none, for its owner's eyes only.

    What is derived is left out: snapshots, previews, tokens, sessions, and the queue of jobs.

    Args:
        path: the file; one that is there already is replaced at the end.
        with_uploads: uploaded files too; of those that were indexed nothing else has the voxels.
        progress: is told how far it is.
        actor: who takes it, for the audit.

    Raises:
        DatabaseError: there is no archive, or no program that can dump it.
        StorageError: the file cannot be written.
    """
    engine = open_engine()
    try:
        state = schema_state(engine)
        if state.revision is None:
            raise DatabaseError("there is no archive to back up yet: ctsearch index makes one")
        clients = find_clients(state.server.postgres // 10000)
        with written_atomically(path, mode=PRIVATE) as stream, BackupWriter(stream) as writer:
            manifest = _write(writer, engine, state, clients, with_uploads, progress)
        with engine.begin() as connection:
            audit(connection, actor, "back up", "archive", {"bytes": sum(p.bytes for p in manifest.parts)})
        return manifest
    finally:
        engine.dispose()


def _write(
    writer: BackupWriter,
    engine: Engine,
    state: SchemaState,
    clients: Clients,
    with_uploads: bool,
    progress: Progress,
) -> BackupManifest:
    with one_state(engine) as connection:
        rows = row_counts(connection, without=DERIVED_TABLES)
        size = int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        writer.add(DUMP, _dumped(clients, _arguments(connection), progress))
    key = existing_key()
    if key is not None:
        writer.add(KEY, [key.secret])
    if with_uploads:
        for file in sorted(uploaded_files()):
            writer.add(UPLOADS + file.relative_to(uploads_folder()).as_posix(), _read(file))
    manifest = BackupManifest(
        made_at=datetime.now(UTC),
        ctsearch=version("ctsearch"),
        schema=str(state.revision),
        postgres=state.server.postgres,
        pgvector=str(state.server.vector_installed),
        database_bytes=size,
        rows=rows,
        parts=tuple(writer.parts),
    )
    writer.finish(manifest)
    return manifest


def uploaded_files() -> Iterator[Path]:
    """Yield the files of uploads under this home."""
    for path in uploads_folder().rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _arguments(connection: Connection) -> list[str]:
    snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    arguments = [f"--snapshot={snapshot}", "--format=custom", "--compress=gzip:1", "--no-password"]
    arguments += ["--no-owner", "--no-privileges", "--schema=public"]
    arguments += [f'--exclude-table=public."{name}"' for name in foreign_tables(connection)]
    return arguments + [f'--exclude-table-data=public."{name}"' for name in DERIVED_TABLES]


def _dumped(clients: Clients, arguments: list[str], progress: Progress) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as errors:
        dump = clients.start("pg_dump", f"--dbname={clients.conninfo}", *arguments, errors=errors)
        try:
            done = 0
            while dump.stdout is not None and (block := dump.stdout.read(BLOCK_BYTES)):
                done += len(block)
                progress("dumping the database", done, None)
                yield block
            if dump.wait():
                raise failure_of(dump, "pg_dump", errors)
        finally:
            close_quietly([dump])


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block
