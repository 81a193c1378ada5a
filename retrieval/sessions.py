"""Database sessions: one of one's own, and one that sees a single state of the archive."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.engine import Connection

from retrieval.postgres_errors import database_errors


@contextmanager
def own_session(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection in autocommit; its settings and locks end with it, and no pool gets it back.

    Raises:
        DatabaseError: the server is away, or goes away meanwhile.
        StorageError: its disk is full.
    """
    with database_errors():
        pooled = engine.raw_connection()
        session = pooled.driver_connection
        pooled.detach()
        if not isinstance(session, psycopg.Connection):
            raise TypeError(f"the engine's driver is {type(session)}, not psycopg")
        try:
            session.autocommit = True
            yield session
        finally:
            session.close()


@contextmanager
def one_state(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction that writes nothing and whose statements all see the same rows.

    By a statement, not by SQLAlchemy's options: these change the connection before and after, 1.3 ms in all.

    Raises:
        DatabaseError: the server is away, or goes away meanwhile.
    """
    with database_errors(), engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection
