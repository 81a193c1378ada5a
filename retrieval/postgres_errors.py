"""What Postgres says when it cannot go on, in one sentence for the person who waits for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as sql
from sqlalchemy.exc import DBAPIError

from encoders.errors import CtsearchError, DatabaseError, InputError, StorageError
from retrieval.database_address import home_path

OLDEST_MAJOR = 16  # older programs lose an inherited working directory, see `postgres_server`
_LEAST_ROOM = 32 << 20
_NO_SPACE = "No space left on device"
_AFTERWARDS = "what was committed is kept; run the same command again"


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn failures of the server, the connection or the disk into the project's own errors.

    Mistakes in a statement, deadlocks and broken constraints pass through as they are: they are the caller's.

    Raises:
        DatabaseError: the server is away, refuses, or has no connection or memory left.
        StorageError: the server's disk is full.
        InputError: a text has a sign that PostgreSQL does not keep.
    """
    try:
        yield
    except DBAPIError as error:
        original = error.orig
        translated = sentence_for(original) if isinstance(original, psycopg.Error) else None
        if translated is None:
            raise
        raise translated from error
    except psycopg.Error as error:
        translated = sentence_for(error)
        if translated is None:
            raise
        raise translated from error


def sentence_for(error: psycopg.Error) -> CtsearchError | None:
    """Return the project's error for a failure that no change to a statement could avoid, else None."""
    said = first_line(error)
    if isinstance(error, sql.DiskFull) or _NO_SPACE in str(error):
        return StorageError(f"the database's disk is full ({said}): free some space; {_AFTERWARDS}")
    if isinstance(error, sql.InsufficientPrivilege):
        return DatabaseError(
            f"the database refuses ({said}): ask its administrator for the right, or use another role"
        )
    if isinstance(error, sql.ReadOnlySqlTransaction):
        return DatabaseError(
            f"the database may only be read ({said}): point CTSEARCH_DATABASE at the primary server"
        )
    if isinstance(error, sql.TooManyConnections | sql.OutOfMemory | sql.InsufficientResources):
        return DatabaseError(
            f"the database has nothing left to give ({said}): close other programs that use it"
        )
    if isinstance(error, sql.UntranslatableCharacter) or (
        isinstance(error, psycopg.DataError) and "NUL" in said
    ):
        return InputError("a text has the sign NUL in it, which nothing in the archive has: leave it out")
    return _loss(said) if is_connection_loss(error) else None


def is_connection_loss(error: psycopg.Error) -> bool:
    """Whether the server or the way to it is gone; a deadlock or a cancelled statement is not."""
    if isinstance(error, psycopg.InterfaceError):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    state = error.sqlstate
    return state is None or state.startswith("08") or state in {"57P01", "57P02", "57P03", "58030"}


def _loss(said: str) -> CtsearchError:
    if _is_embedded_disk_full():
        return StorageError(
            f"the disk of {home_path()} is full, so the database went away ({said}): "
            f"free some space; {_AFTERWARDS}"
        )
    return DatabaseError(f"the database went away ({said}): {_AFTERWARDS}")


def _is_embedded_disk_full() -> bool:
    """Whether the server that went away is ours and could not have gone on: its log takes 16 MB at a time."""
    if os.environ.get("CTSEARCH_DATABASE"):
        return False
    try:
        disk = os.statvfs(home_path())
    except OSError:
        return False
    return disk.f_frsize * disk.f_bavail < _LEAST_ROOM


def first_line(error: BaseException) -> str:
    """Return the first line of what was said, without the full stop that would end our sentence early."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
