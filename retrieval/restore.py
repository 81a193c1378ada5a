"""Restoring a backup: all of it is checked first, then everything happens in one transaction.

A restore that is killed, at any point, leaves the archive of before: the server gives up a transaction whose
client is gone. Programs of PostgreSQL do the work, so nothing here reads a dump.
"""

import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from psycopg import sql
from sqlalchemy import Engine

from encoders.errors import ConfigError, DatabaseError, InputError, StorageError
from retrieval.archive_key import existing_key, key_path
from retrieval.archive_objects import drop_statements, row_counts
from retrieval.backup_file import DUMP, KEY, UPLOADS, Backup, BackupManifest, Progress, open_backup
from retrieval.database_address import database_parameters, home
from retrieval.deidentify import PseudonymKey
from retrieval.loading_dump import load_dump
from retrieval.migrate import MIGRATION_LOCK, SchemaState, refuse_newer, schema_state, upgrade
from retrieval.postgres import open_engine
from retrieval.postgres_clients import find_clients
from retrieval.sessions import one_state

DERIVED_FOLDERS = ("snapshots", "tokens", "previews")
_WAIT_FOR_OTHERS_S = 30
_QUIET_TABLES = ("alembic_version", "audit_event")  # rows that are no archive yet


def restore_backup(
    path: Path, *, replace: bool = False, progress: Progress, actor: str = "cli"
) -> BackupManifest:
    """Make the archive what a backup holds; an older backup's tables are brought up to this version's.

    Args:
        path: of the backup.
        replace: an archive that is there is deleted in the same transaction.
        progress: is told how far it is.
        actor: who restores, for the audit.

    Raises:
        InputError: the file is no backup, or damaged.
        ConfigError: the archive is not empty, or has another key.
        DatabaseError: the backup is of a newer version, others use the archive, or a program fails.
        StorageError: there is no room.
    """
    with open_backup(path) as backup:
        refuse_newer(backup.manifest.schema, f"the backup {path}")
        backup.manifest.part(DUMP)
        backup.check(progress)
        engine = open_engine()
        try:
            state = schema_state(engine)
            _check_server(backup.manifest, state)
            _check_room(backup.manifest)
            key = _missing_key(backup)
            _load(backup, engine, state, replace=replace, key=key, actor=actor, progress=progress)
            _delete_derived()
            upgrade(engine)
        finally:
            engine.dispose()
        return backup.manifest


def _check_server(manifest: BackupManifest, state: SchemaState) -> None:
    made_by, here = manifest.postgres // 10000, state.server.postgres // 10000
    if made_by > here:
        raise DatabaseError(
            f"the backup was made from PostgreSQL {made_by} and the server is {here}: "
            f"restore it into version {made_by} or newer"
        )


def _check_room(manifest: BackupManifest) -> None:
    if database_parameters() is not None:
        return  # another machine's disk
    free = shutil.disk_usage(home()).free
    if free < manifest.database_bytes:
        raise StorageError(
            f"the archive takes {manifest.database_bytes >> 20:,} MB and the disk of {home()} has "
            f"{free >> 20:,} MB free: make room or set CTSEARCH_HOME to another folder"
        )


def _missing_key(backup: Backup) -> PseudonymKey | None:
    """Return the backup's key where this home has none; two different keys never share an archive."""
    if not backup.manifest.has_key:
        return None
    key = PseudonymKey(b"".join(backup.blocks(KEY)))
    here = existing_key()
    if here is None:
        return key
    if here != key:
        raise ConfigError(
            f"{key_path()} is another key than the backup's, to which the same patients are other patients: "
            "move it to a safe place and restore again, or set CTSEARCH_HOME to another folder"
        )
    return None


def _load(
    backup: Backup,
    engine: Engine,
    state: SchemaState,
    *,
    replace: bool,
    key: PseudonymKey | None,
    actor: str,
    progress: Progress,
) -> None:
    with one_state(engine) as connection:
        counts = row_counts(connection) if state.revision else {}
        drops = drop_statements(connection)
    if not replace:
        _refuse_full(counts)
    clients = find_clients(state.server.postgres // 10000)
    load_dump(
        clients,
        lambda: backup.blocks(DUMP),
        total_bytes=backup.manifest.part(DUMP).bytes,
        before=[
            f"SET lock_timeout = '{_WAIT_FOR_OTHERS_S}s'",
            f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})",
            "CREATE EXTENSION IF NOT EXISTS vector",
            *drops,
        ],
        after=_afterwards(backup, actor),
        rows=backup.manifest.rows,
        before_commit=_Placed(backup, key).place,
        progress=progress,
    )


class _Placed:
    """Files that go beside the database in the moment before its transaction is committed.

    Should COMMIT then fail they stay: without its transaction the key opens nothing, without the key a
    restored archive would be worse off.
    """

    def __init__(self, backup: Backup, key: PseudonymKey | None) -> None:
        self._backup = backup
        self._key = key
        self._made: list[Path] = []

    def place(self) -> None:
        """Write all of them, or none."""
        try:
            for part in self._backup.manifest.parts:
                if part.name.startswith(UPLOADS):
                    self._write(_upload_path(part.name), part.name)
            if self._key is not None:
                self._key.save(key_path())
        except BaseException:
            for path in self._made:
                with suppress(OSError):
                    path.unlink()
            raise

    def _write(self, path: Path, name: str) -> None:
        if path.exists():
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made.append(path)
            with path.open("wb") as stream:
                path.chmod(0o600)
                stream.writelines(self._backup.blocks(name))
        except OSError as error:
            raise StorageError(
                f"an upload cannot be restored to {path.parent} ({error.strerror or error}): make room there"
            ) from error


def _upload_path(name: str) -> Path:
    inside = PurePosixPath(name)
    if ".." in inside.parts or inside.is_absolute() or "\\" in name:
        raise InputError(
            f"the backup names {name}, which leads out of the folder of uploads: do not trust it"
        )
    return home() / inside


def _refuse_full(counts: dict[str, int]) -> None:
    for table, rows in sorted(counts.items(), key=lambda counted: -counted[1]):
        if rows and table not in _QUIET_TABLES:
            raise ConfigError(
                f"the archive is not empty ({rows:,} rows in {table}): restore into an empty one, or say "
                "--replace, which deletes everything that is there now"
            )


def _afterwards(backup: Backup, actor: str) -> list[str]:
    manifest = backup.manifest
    said: list[Any] = [f'ANALYZE public."{table}"' for table in manifest.rows]
    said.append(
        sql.SQL(
            "INSERT INTO public.audit_event (actor, action, subject, detail) "
            "VALUES ({}, 'restore', 'archive', jsonb_build_object('made_at', {}))"
        ).format(actor, manifest.made_at.isoformat())
    )
    return [each if isinstance(each, str) else each.as_string() for each in said]


def _delete_derived() -> None:
    """Delete what was derived from the archive of before; what is needed is made again."""
    for name in DERIVED_FOLDERS:
        shutil.rmtree(home() / name, ignore_errors=True)
