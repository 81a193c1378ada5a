"""Runs the migrations: over the connection that the product hands in, or for a developer's `alembic`."""

import os
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.pool import NullPool

import retrieval.desk_schema  # noqa: F401 - its tables join those of Base
from retrieval.schema import Base, is_made_at_run_time


def _include_name(name: str | None, kind: str, _: Any) -> bool:
    return not (kind == "table" and name is not None and is_made_at_run_time(name))


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=_include_name,
        compare_type=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _developer_connection() -> Connection:
    address = os.environ.get("CTSEARCH_DATABASE")
    if not address:
        raise CommandError(
            "set CTSEARCH_DATABASE to the server whose schema is meant; "
            "`ctsearch db status` prints the embedded one's address"
        )
    url = make_url(address).set(drivername="postgresql+psycopg")
    return create_engine(url, poolclass=NullPool).connect()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with _developer_connection() as own:
        _migrate(own)
