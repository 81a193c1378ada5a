"""New jobs: put into table and queue in one transaction, never more than may wait."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from retrieval.asked_collection import asked_collection
from retrieval.postgres_errors import database_errors
from web.jobs.job_rows import STEPS
from web.jobs.queue import lost_jobs, put_in, take_out
from web.problems import NotFoundError, TooManyError

_LOCK = 0x63740007  # whoever counts and adds a job holds this advisory lock


def check_room(engine: Engine, waiting_jobs: int) -> None:
    """Refuse before anything is read, while the queue is full.

    Raises:
        TooManyError: as many jobs wait as may.
    """
    with database_errors(), engine.connect() as connection:
        _check_room(connection, waiting_jobs)


def order_encoding(
    engine: Engine, *, actor: str, upload: str, collection: str | None, waiting_jobs: int
) -> int:
    """Return the job that encodes an upload for a collection: the one there is, or a new one.

    Args:
        engine: of the archive.
        actor: who asks.
        upload: its id.
        collection: for whose encoder; None is the default one, or the only one there is.
        waiting_jobs: how many may wait.

    Raises:
        SearchError: there is no such collection.
        NotFoundError: the upload was removed.
        TooManyError: as many jobs wait as may.
    """
    with database_errors(), engine.begin() as connection:
        info = asked_collection(connection, collection)
        _serialise(connection)
        if connection.execute(_STILL_THERE, {"upload": upload}).one_or_none() is None:
            raise NotFoundError("the upload was removed meanwhile: upload it again")
        known = connection.execute(_KNOWN, {"upload": upload, "collection": info.name}).scalar()
        if known is not None:
            return int(known)
        return _add(connection, "encode", actor, upload, {"collection": info.name}, waiting_jobs)


def order_indexing(
    engine: Engine, *, actor: str, upload: str | None, asked: Mapping[str, Any], waiting_jobs: int
) -> int:
    """Add a job that indexes an upload, or the folder that `asked` names.

    Raises:
        TooManyError: as many jobs wait as may.
    """
    with database_errors(), engine.begin() as connection:
        _serialise(connection)
        return _add(connection, "index", actor, upload, asked, waiting_jobs)


def retry_job(engine: Engine, job_id: int, waiting_jobs: int) -> None:
    """Let a job that failed or was cancelled, or whose items failed, be done again.

    Raises:
        NotFoundError: there is none, or it waits or runs.
        TooManyError: as many jobs wait as may.
    """
    with database_errors(), engine.begin() as connection:
        _serialise(connection)
        _check_room(connection, waiting_jobs)
        row = connection.execute(_AGAIN, {"id": job_id}).one_or_none()
        if row is None:
            raise NotFoundError(f"job {job_id} did not fail and was not cancelled: there is nothing to retry")
        _enqueue(connection, job_id, row.kind)


def cancel_job(engine: Engine, job_id: int) -> None:
    """Let a job that waits not be done, and one that runs be stopped; what it has stored stays.

    Raises:
        NotFoundError: there is none, or it has ended.
    """
    with database_errors(), engine.begin() as connection:
        row = connection.execute(_CANCEL, {"id": job_id}).one_or_none()
        if row is None:
            raise NotFoundError(f"job {job_id} has ended already: there is nothing to cancel")
        if row.queue_id is not None:
            take_out(connection, row.queue_id)


def put_in_lost(engine: Engine) -> None:
    """Put jobs in that the queue lost: it was made anew, or restored from a backup without it."""
    with database_errors(), engine.begin() as connection:
        for job_id, kind in lost_jobs(connection):
            _enqueue(connection, job_id, kind)


def _add(
    connection: Connection,
    kind: str,
    actor: str,
    upload: str | None,
    asked: Mapping[str, Any],
    waiting_jobs: int,
) -> int:
    _check_room(connection, waiting_jobs)
    progress = {"step": STEPS[0], "doing": "waiting", "done": 0, "total": None}
    job_id = connection.execute(
        _ADD, {"kind": kind, "actor": actor, "upload": upload, "asked": dict(asked), "progress": progress}
    ).scalar_one()
    _enqueue(connection, job_id, kind)
    return int(job_id)


def _enqueue(connection: Connection, job_id: int, kind: str) -> None:
    connection.execute(_QUEUED, {"id": job_id, "queue_id": put_in(connection, job_id, kind)})


def _serialise(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _check_room(connection: Connection, waiting_jobs: int) -> None:
    waiting = connection.execute(text("SELECT count(*) FROM job WHERE state = 'queued'")).scalar_one()
    if waiting >= waiting_jobs:
        raise TooManyError(f"{waiting} jobs wait already, and no more may: try again in a minute")


_STILL_THERE = text("SELECT id FROM upload WHERE id = :upload FOR KEY SHARE")
_KNOWN = text("""
SELECT id FROM job WHERE kind = 'encode' AND upload_id = :upload AND asked->>'collection' = :collection
    AND state IN ('queued', 'running', 'finished')
ORDER BY id DESC LIMIT 1
""")
_ADD = text(
    "INSERT INTO job (kind, state, actor, upload_id, asked, progress) "
    "VALUES (:kind, 'queued', :actor, :upload, :asked, :progress) RETURNING id"
).bindparams(bindparam("asked", type_=JSONB), bindparam("progress", type_=JSONB))
_QUEUED = text("UPDATE job SET queue_id = :queue_id WHERE id = :id")
_AGAIN = text(
    "UPDATE job SET state = 'queued', attempts = 0, error = NULL, finished_at = NULL, "
    "result = NULL, failures = '[]', "
    """asked = asked || '{"retry_failed": true}', """
    """progress = '{"step": "received", "doing": "waiting", "done": 0, "total": null}' """
    "WHERE id = :id AND (state IN ('failed', 'cancelled') OR (state = 'finished' AND failures <> '[]')) "
    "RETURNING kind"
)
_CANCEL = text(
    "UPDATE job SET state = 'cancelled', finished_at = now() "
    "WHERE id = :id AND state IN ('queued', 'running') RETURNING queue_id"
)
