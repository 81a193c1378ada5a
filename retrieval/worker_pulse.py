"""Whether a worker lives: the queue's own table keeps when each last said so."""

from sqlalchemy import text
from sqlalchemy.engine import Connection

_WORKERS = "ctsearch_queue.procrastinate_workers"


def worker_silent_s(connection: Connection) -> float | None:
    """Return the seconds since any worker last said that it lives; None: none ever did, or has left."""
    if connection.execute(text("SELECT to_regclass(:table)"), {"table": _WORKERS}).scalar() is None:
        return None
    silent_s = connection.execute(
        text(f"SELECT extract(epoch FROM now() - max(last_heartbeat)) FROM {_WORKERS}")  # noqa: S608 - a constant
    ).scalar()
    return None if silent_s is None else float(silent_s)
