"""A database session of one's own: its settings and locks end with it, and no pool gets it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine

from retrieval.postgres_errors import database_errors


@contextmanager
def own_session(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection in autocommit that is closed afterwards.

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
