"""Runs of `ctsearch index`, and the items that failed in them."""

from collections.abc import Mapping

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from retrieval.records import CollectionInfo, Failure, RunState, storable


def start_run(connection: Connection, collection: CollectionInfo) -> int:
    """Record that a run begins, and return its id."""
    run_id: int = connection.execute(
        text(
            "INSERT INTO index_run (collection_id, state, counts, removed) "
            "VALUES (:collection, 'running', '{}', '{}') RETURNING id"
        ),
        {"collection": collection.id},
    ).scalar_one()
    return run_id


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
