"""What in a database is the archive: its tables, what hangs on them, and the queue's schema."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.engine import Connection

import retrieval.desk_schema  # noqa: F401 - its tables join those of Base
from retrieval.schema import Base, is_made_at_run_time

VERSION_TABLE = "alembic_version"
_FUNCTIONS = ("label_effective()",)  # of older revisions
_SEARCH_CONFIGURATION, _SEARCH_DICTIONARY = "radiology", "radiology_stem"
_QUEUE_TABLE = "procrastinate_jobs"

DERIVED_TABLES = ("web_session",)
"""Rows that a backup leaves out: people sign in again."""


def tables(connection: Connection) -> list[str]:
    """Return the archive's tables that are there, those of collections included; the public schema's."""
    return [name for name in _all_tables(connection) if _is_ours(name)]


def foreign_tables(connection: Connection) -> list[str]:
    """Return the public schema's tables that are not the archive's."""
    return [name for name in _all_tables(connection) if not _is_ours(name)]


def queue_schemas(connection: Connection) -> list[str]:
    """Return the schema in which the queue of jobs has its tables, if it is there.

    The queue is derived from the table `job`: it is dropped, never backed up, and made anew by a worker.
    """
    found = connection.execute(
        text("SELECT schemaname FROM pg_tables WHERE tablename = :table AND schemaname <> 'public'"),
        {"table": _QUEUE_TABLE},
    )
    return list(found.scalars())


def row_counts(connection: Connection, without: Sequence[str] = ()) -> dict[str, int]:
    """Return how many rows each table has; a collection's are counted in `embedding`."""
    counted = [name for name in tables(connection) if not is_made_at_run_time(name) and name not in without]
    return {
        name: int(connection.execute(text(f'SELECT count(*) FROM public."{name}"')).scalar_one())  # noqa: S608 - names of our own
        for name in counted
    }


def drop_statements(connection: Connection) -> list[str]:
    """Return what deletes the archive and nothing else; the extension stays."""
    dropped = [f'DROP SCHEMA "{schema}" CASCADE' for schema in queue_schemas(connection)]
    dropped += [f'DROP TABLE IF EXISTS public."{name}" CASCADE' for name in tables(connection)]
    dropped += [f"DROP FUNCTION IF EXISTS public.{function} CASCADE" for function in _FUNCTIONS]
    dropped.append(f"DROP TEXT SEARCH CONFIGURATION IF EXISTS public.{_SEARCH_CONFIGURATION} CASCADE")
    dropped.append(f"DROP TEXT SEARCH DICTIONARY IF EXISTS public.{_SEARCH_DICTIONARY} CASCADE")
    return dropped


def _all_tables(connection: Connection) -> list[str]:
    rows = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"))
    return list(rows.scalars())


def _is_ours(name: str) -> bool:
    return name in Base.metadata.tables or name == VERSION_TABLE or is_made_at_run_time(name)
