"""What a snapshot holds of what a transaction sees, asked of PostgreSQL by `pg_snapshot`."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import Connection

from retrieval.schema import partition_name


def rows_newer(
    connection: Connection, collection_id: int, pg_snapshot: str, *, up_to: int | None = None
) -> int:
    """Return how many of a collection's latents a snapshot does not hold; counting ends at `up_to`."""
    values = {"collection": collection_id, "snapshot": pg_snapshot, "up_to": up_to}
    return int(connection.execute(text(_NEWER), values).scalar_one())


@dataclass(frozen=True, slots=True)
class SnapshotAge:
    """What a transaction sees beside a snapshot."""

    is_seen: bool  # all that it holds; not so if the snapshot was built after the transaction began
    has_newer: bool  # latents that it does not hold


def snapshot_age(connection: Connection, collection_id: int, pg_snapshot: str) -> SnapshotAge:
    """Compare what this transaction sees of a collection with a snapshot.

    One that does not see all of the snapshot must not use it: what it still sees and the snapshot no longer
    holds would be lost.
    """
    values = {"collection": collection_id, "snapshot": pg_snapshot, "up_to": 1}
    row = connection.execute(_AGE, values).one()
    return SnapshotAge(row.is_seen, row.newer > 0)


def is_of_this_past(connection: Connection, pg_snapshot: str) -> bool:
    """Whether a server has been where a snapshot was taken; not so if its disk was put back to before."""
    return bool(connection.execute(text(_PAST), {"snapshot": pg_snapshot}).scalar_one())


def table_file(connection: Connection, collection_id: int) -> int:
    """Return which file PostgreSQL keeps a collection's latents in: another one after they were restored.

    From a dump they bring the numbers of the transactions that wrote them, which a snapshot may know.
    """
    values = {"table": partition_name(collection_id)}
    return int(connection.execute(text(_TABLE_FILE), values).scalar() or 0)


def number_anew(connection: Connection, collection_id: int) -> None:
    """Say that this transaction wrote what a dump of another server brought with numbers yet to come.

    No snapshot would hold it before this server has come to these numbers, and each would seem far behind.
    """
    values = {"collection": collection_id}
    if connection.execute(text(_FROM_ELSEWHERE), values).scalar_one():
        connection.execute(text(_NUMBER_ANEW), values)


_SEEN = """
pg_snapshot_xmax(CAST(:snapshot AS pg_snapshot)) <= pg_snapshot_xmax(pg_current_snapshot())
    AND NOT EXISTS (
        SELECT FROM pg_snapshot_xip(pg_current_snapshot()) AS running
        WHERE pg_visible_in_snapshot(running, CAST(:snapshot AS pg_snapshot))
    )
"""

_PAST = """
SELECT pg_snapshot_xmax(CAST(:snapshot AS pg_snapshot)) <= pg_snapshot_xmax(pg_current_snapshot())
"""

_NEWER = """
SELECT count(*) FROM (
    SELECT FROM embedding
    WHERE collection_id = :collection AND written_by >= pg_snapshot_xmin(CAST(:snapshot AS pg_snapshot))
        AND NOT pg_visible_in_snapshot(written_by, CAST(:snapshot AS pg_snapshot))
    LIMIT :up_to
)
"""

_TABLE_FILE = "SELECT pg_relation_filenode(to_regclass(:table))"

_YET_TO_COME = "collection_id = :collection AND written_by >= pg_snapshot_xmax(pg_current_snapshot())"
_FROM_ELSEWHERE = f"SELECT EXISTS (SELECT FROM embedding WHERE {_YET_TO_COME})"  # noqa: S608 - a constant
_NUMBER_ANEW = f"UPDATE embedding SET written_by = pg_current_xact_id() WHERE {_YET_TO_COME}"  # noqa: S608

_AGE = text(f"SELECT {_SEEN} AS is_seen, ({_NEWER}) AS newer")
