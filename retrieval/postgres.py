"""The way to the database: the embedded server, or the one that `CTSEARCH_DATABASE` names."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pgvector.psycopg import register_vector
from platformdirs import user_data_path
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

from encoders.errors import ConfigError, DatabaseError, StorageError
from retrieval.postgres_errors import OLDEST_MAJOR, database_errors, sentence_for

__all__ = ["ServerFacts", "check_server", "database_errors", "database_parameters", "home", "open_engine"]

_log = logging.getLogger(__name__)
_APPLICATION = "ctsearch"
_VECTOR_AT_LEAST = (0, 8, 0)  # iterative scans, which a filtered search needs
_VECTOR_SOUND_SINCE = (0, 8, 4)  # CVE-2026-3172: vacuum of an HNSW index corrupts it before


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server is."""

    postgres: int  # server_version_num, 180006 for 18.6
    encoding: str
    vector_installed: str | None  # pgvector's version in this database
    vector_available: str | None  # the one that CREATE EXTENSION would install


def home() -> Path:
    """Return the folder of the embedded database, snapshots and caches, made (mode 0700) at first.

    It is `CTSEARCH_HOME`, or the platform's folder for a user's data.

    Raises:
        StorageError: it cannot be made.
    """
    chosen = os.environ.get("CTSEARCH_HOME")
    folder = Path(chosen).expanduser().absolute() if chosen else user_data_path(_APPLICATION, appauthor=False)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"the folder {folder} cannot be made ({error.strerror}): "
            "set CTSEARCH_HOME to a folder of your own"
        ) from error
    return folder


def database_parameters() -> dict[str, Any] | None:
    """Return how to connect to the server that `CTSEARCH_DATABASE` names; None where the embedded one serves.

    Raises:
        ConfigError: it is no address of a PostgreSQL server.
    """
    chosen = os.environ.get("CTSEARCH_DATABASE")
    if not chosen:
        return None
    scheme, separator, rest = chosen.partition("://")
    try:
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
            raise psycopg.ProgrammingError("another scheme")
        return conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            "CTSEARCH_DATABASE is no address of a PostgreSQL server: write "
            "postgresql://user:password@host:port/name, or unset it for the embedded one"
        ) from error


def open_engine(*, pool_size: int = 5) -> Engine:
    """Return an engine for the archive; a connection starts the embedded server where it does not run.

    Every connection plans each statement for its values: psycopg prepares a statement after five uses, and
    the generic plan that PostgreSQL then takes ignores an HNSW index. Arrays travel as pgvector's vectors.
    Statements that fail because the server is gone or its disk full raise the errors of `database_errors`.

    Args:
        pool_size: connections kept open; twice as many may be open at once.

    Raises:
        ConfigError: `CTSEARCH_DATABASE` is no address.
        StorageError: the home cannot be made.
    """
    remote = database_parameters()
    engine = create_engine(
        "postgresql+psycopg://",
        creator=_embedded_connect() if remote is None else _remote_connect(remote),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # they hold report text
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "handle_error", _translate)
    return engine


def check_server(connection: Connection) -> ServerFacts:
    """Return what the server is, before anything on it is changed.

    Raises:
        DatabaseError: PostgreSQL or pgvector is too old or missing, or the database is not in UTF-8.
    """
    row = connection.execute(
        text(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), "
            "(SELECT extversion FROM pg_extension WHERE extname = 'vector'), "
            "(SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
        )
    ).one()
    facts = ServerFacts(postgres=row[0], encoding=row[1], vector_installed=row[2], vector_available=row[3])
    if facts.postgres < OLDEST_MAJOR * 10000:
        raise DatabaseError(
            f"the server is PostgreSQL {facts.postgres // 10000}, ctsearch needs {OLDEST_MAJOR} or newer"
        )
    if facts.encoding != "UTF8":
        raise DatabaseError(
            f"the database is in {facts.encoding}, ctsearch needs one made with ENCODING 'UTF8'"
        )
    _check_vector(facts)
    return facts


def _check_vector(facts: ServerFacts) -> None:
    version = facts.vector_installed or facts.vector_available
    if version is None:
        raise DatabaseError("the server lacks the extension pgvector: install pgvector 0.8.4 or newer there")
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers < _VECTOR_AT_LEAST:
        how = (
            "run ALTER EXTENSION vector UPDATE in the database"
            if facts.vector_installed
            else "install a newer one"
        )
        raise DatabaseError(f"the database has pgvector {version}, ctsearch needs 0.8.0 or newer: {how}")
    if numbers < _VECTOR_SOUND_SINCE:
        _log.warning(
            "the database has pgvector %s, whose HNSW indexes can be corrupted by vacuum (CVE-2026-3172): "
            "install 0.8.4 or newer",
            version,
        )


def _embedded_connect() -> Callable[[], psycopg.Connection[Any]]:
    try:
        from retrieval.postgres_server import EmbeddedServer  # Unix only
    except ImportError as error:
        raise DatabaseError(
            f"there is no embedded database on this system ({error}): "
            "set CTSEARCH_DATABASE to a server's address"
        ) from error
    server = EmbeddedServer(home())
    return lambda: server.connect(application_name=_APPLICATION)


def _remote_connect(address: dict[str, Any]) -> Callable[[], psycopg.Connection[Any]]:
    parameters: dict[str, Any] = {"application_name": _APPLICATION, "connect_timeout": 10} | address

    def connect() -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(**parameters)
        except psycopg.Error as error:
            said = " ".join(str(error).split())
            raise DatabaseError(
                f"the database that CTSEARCH_DATABASE names cannot be reached ({said}): "
                "check the address and the server"
            ) from error

    return connect


def _set_up(connection: psycopg.Connection[Any], _: ConnectionPoolEntry) -> None:
    connection.autocommit = True
    try:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        if connection.execute("SELECT to_regtype('vector')").fetchone() != (None,):
            register_vector(connection)
    finally:
        connection.autocommit = False


def _translate(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, psycopg.Error) and not context.is_pre_ping:
        translated = sentence_for(context.original_exception)
        if translated is not None:
            raise translated from context.original_exception
