"""The way to the database: the embedded server, or the one that `CTSEARCH_DATABASE` names."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from pgvector.psycopg import register_vector
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

from encoders.errors import DatabaseError
from retrieval.database_address import APPLICATION, database_parameters, home
from retrieval.postgres_errors import OLDEST_MAJOR, database_errors, sentence_for

if TYPE_CHECKING:
    from retrieval.postgres_server import EmbeddedServer

__all__ = [
    "ServerFacts",
    "check_server",
    "connection_parameters",
    "database_errors",
    "database_parameters",
    "embedded_server",
    "home",
    "open_engine",
]

_log = logging.getLogger(__name__)
_VECTOR_AT_LEAST = (0, 8, 0)  # iterative scans, which a filtered search needs
_VECTOR_SOUND_SINCE = (0, 8, 4)  # CVE-2026-3172: vacuum of an HNSW index corrupts it before


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server is."""

    postgres: int  # server_version_num, 180006 for 18.6
    encoding: str
    vector_installed: str | None  # pgvector's version in this database
    vector_available: str | None  # the one that CREATE EXTENSION would install


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
        creator=_embedded_connect(embedded_server()) if remote is None else _remote_connect(remote),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # they hold report text
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "handle_error", _translate)
    return engine


def connection_parameters() -> dict[str, Any]:
    """Return keywords of `psycopg.connect` for the archive, for a library that connects by itself.

    Raises:
        ConfigError: `CTSEARCH_DATABASE` is no address.
        DatabaseError: the embedded server does not start.
        StorageError: the home cannot be made.
    """
    remote = database_parameters()
    address = embedded_server().parameters() if remote is None else {"connect_timeout": 10} | remote
    return {"application_name": APPLICATION} | address


def embedded_server() -> "EmbeddedServer":
    """Return the supervisor of this home's server; nothing is started.

    Raises:
        DatabaseError: there is none on this system.
        StorageError: the home cannot be made.
    """
    try:
        from retrieval.postgres_server import EmbeddedServer  # Unix only
    except ImportError as error:
        raise DatabaseError(
            f"there is no embedded database on this system ({error}): "
            "set CTSEARCH_DATABASE to a server's address"
        ) from error
    return EmbeddedServer(home())


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


def _embedded_connect(server: "EmbeddedServer") -> Callable[[], psycopg.Connection[Any]]:
    return lambda: server.connect(application_name=APPLICATION)


def _remote_connect(address: dict[str, Any]) -> Callable[[], psycopg.Connection[Any]]:
    parameters: dict[str, Any] = {"application_name": APPLICATION, "connect_timeout": 10} | address

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
    connection.prepare_threshold = (
        None  # every statement is planned for its values, an array's length included
    )
    connection.autocommit = True
    try:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        # It keeps latents that no other row asks for: of a filter that leaves half of 47,149 volumes, 136 ms
        # with it and 57 without.
        connection.execute("SET enable_memoize = off")
        if connection.execute("SELECT to_regtype('vector')").fetchone() != (None,):
            register_vector(connection)
    finally:
        connection.autocommit = False


def _translate(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, psycopg.Error) and not context.is_pre_ping:
        translated = sentence_for(context.original_exception)
        if translated is not None:
            raise translated from context.original_exception
