"""What a snapshot holds of what a transaction sees, asked of PostgreSQL by `pg_snapshot`."""

from sqlalchemy import text
from sqlalchemy.engine import Connection


def rows_newer(
    connection: Connection, collection_id: int, pg_snapshot: str, *, up_to: int | None = None
) -> int:
    """Return how many of a collection's latents a snapshot does not hold; counting ends at `up_to`."""
    values = {"collection": collection_id, "snapshot": pg_snapshot, "up_to": up_to}
    return int(connection.execute(text(_NEWER), values).scalar_one())


def is_seen(connection: Connection, pg_snapshot: str) -> bool:
    """Whether a transaction sees whatever a snapshot holds; not so if the snapshot was built after it began.

    What such a transaction still sees and the snapshot no longer holds would be lost.
    """
    return bool(connection.execute(text(_SEEN), {"snapshot": pg_snapshot}).scalar_one())


def is_of_this_past(connection: Connection, pg_snapshot: str) -> bool:
    """Whether a server has been where a snapshot was taken; not so if its disk was put back to before."""
    return bool(connection.execute(text(_PAST), {"snapshot": pg_snapshot}).scalar_one())


_SEEN = """
SELECT pg_snapshot_xmax(CAST(:snapshot AS pg_snapshot)) <= pg_snapshot_xmax(pg_current_snapshot())
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
