"""Runs of `ctsearch index`, and the items that failed in them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from retrieval.records import CollectionInfo, Failure, RunState, storable
from retrieval.sessions import own_session

_LOCK = 0x63740002  # with its id: whoever runs holds this advisory lock
_RUNS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """An index run; `finished_at` is None while it runs, and where its process ended without a word."""

    id: int
    state: Literal["running"] | RunState
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, int]  # indexed, unchanged, updated, failed; empty until it ends

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "id": self.id,
            "state": self.state,
            "started_at": self.started_at.isoformat(),
            "finished_at": None if self.finished_at is None else self.finished_at.isoformat(),
            "counts": dict(self.counts),
        }


@contextmanager
def attended_run(engine: Engine, collection: CollectionInfo) -> Iterator[int]:
    """Record that a run begins and yield its id; while the block lasts, the run is known to be alive.

    Whoever runs holds an advisory lock on a session of its own, taken before the row can be seen: it goes
    with the process, however that ends. Runs that said "running" without one are marked as interrupted.
    """
    with own_session(engine) as session:
        session.execute("SET idle_session_timeout = 0")
        with session.transaction():
            session.execute(_MARK_INTERRUPTED, {"lock": _LOCK, "collection": collection.id})
            [(run_id,)] = session.execute(_START, (collection.id,))
            session.execute("SELECT pg_advisory_lock(%s, %s)", (_LOCK, run_id))
        yield run_id


def last_runs(connection: Connection, collection: CollectionInfo) -> list[RunStatus]:
    """Return a collection's newest runs, newest first; one whose process is gone counts as interrupted."""
    rows = connection.execute(text(_LAST), {"lock": _LOCK, "collection": collection.id, "runs": _RUNS_SHOWN})
    return [RunStatus(**row._mapping) for row in rows]


def finish_run(
    connection: Connection,
    run_id: int,
    state: RunState,
    counts: Mapping[str, int],
    removed: Mapping[str, int],
) -> None:
    """Record how a run ended: what it did by kind, and what de-identification took out by kind."""
    connection.execute(
        text(
            "UPDATE index_run SET state = :state, finished_at = now(), counts = :counts, removed = :removed "
            "WHERE id = :run"
        ).bindparams(bindparam("counts", type_=JSONB), bindparam("removed", type_=JSONB)),
        {"run": run_id, "state": state, "counts": dict(counts), "removed": dict(removed)},
    )


def record_failure(
    connection: Connection, run_id: int, item: str, content: bytes | None, error: str, study_id: int | None
) -> None:
    """Record that an item failed, once more if it did before. It goes with its study when that is removed."""
    connection.execute(
        text(
            "INSERT INTO index_item AS stored "
            "(collection_id, run_id, study_id, item, content, attempts, error) "
            "SELECT run.collection_id, run.id, (SELECT id FROM study WHERE id = CAST(:study AS bigint)), "
            "CAST(:item AS text), CAST(:content AS bytea), 1, CAST(:error AS text) "
            "FROM index_run AS run WHERE run.id = :run "
            "ON CONFLICT (collection_id, item) DO UPDATE "
            "SET run_id = excluded.run_id, study_id = coalesce(excluded.study_id, stored.study_id), "
            "content = excluded.content, attempts = least(stored.attempts, 32766) + 1, "
            "error = excluded.error, failed_at = now()"
        ),
        {
            "run": run_id,
            "study": study_id,
            "item": storable(item),
            "content": content,
            "error": storable(error),
        },
    )


def clear_failure(connection: Connection, collection: CollectionInfo, item: str) -> None:
    """Forget that an item failed: it has succeeded since."""
    connection.execute(
        text("DELETE FROM index_item WHERE collection_id = :collection AND item = :item"),
        {"collection": collection.id, "item": storable(item)},
    )


def failures(connection: Connection, collection: CollectionInfo, run_id: int | None) -> dict[str, Failure]:
    """Return what failed and has not succeeded since, by item; of one run where it is given."""
    rows = connection.execute(
        text(
            "SELECT item, error, attempts, content, run_id, failed_at FROM index_item "
            "WHERE collection_id = :collection AND (CAST(:run AS bigint) IS NULL OR run_id = :run) "
            "ORDER BY item"
        ),
        {"collection": collection.id, "run": run_id},
    )
    return {row.item: Failure(**row._mapping) for row in rows}


_IS_DEAD = """state = 'running' AND NOT EXISTS (
    SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND classid = {lock} AND objid = index_run.id AND objsubid = 2
        AND datname = current_database()
)"""

_MARK_INTERRUPTED = (
    "UPDATE index_run SET state = 'interrupted' "  # noqa: S608 - constants
    f"WHERE collection_id = %(collection)s AND {_IS_DEAD.format(lock='%(lock)s')}"
)

_START = (
    "INSERT INTO index_run (collection_id, state, counts, removed) "
    "VALUES (%s, 'running', '{}', '{}') RETURNING id"
)

_LAST = f"""
SELECT id, CASE WHEN {_IS_DEAD.format(lock=":lock")} THEN 'interrupted' ELSE state END AS state,
    started_at, finished_at, counts
FROM index_run WHERE collection_id = :collection ORDER BY id DESC LIMIT :runs
"""  # noqa: S608 - constants
