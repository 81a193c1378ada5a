"""Jobs as the table has them: read for who waits, written by the worker that has the job, and by no other.

A worker that was given up (its machine slept) may still write: each start counts an attempt, and what is
written names the attempt it belongs to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Row

from retrieval.postgres_errors import database_errors
from retrieval.records import storable

STEPS = ("received", "unpacked", "read", "preprocessed", "encoded", "stored")
ENDED = ("finished", "failed", "cancelled")
MOST_ATTEMPTS = 3  # a job that takes its worker down with it is not tried for ever


class JobGoneError(Exception):
    """The job was cancelled, removed, or given to another worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job for whoever waits for it."""

    id: int
    kind: str
    state: str
    actor: str
    upload: str | None
    asked: Mapping[str, Any]
    step: str
    doing: str
    done: int
    total: int | None
    seconds: float  # in what is being done, or of the whole job once it has ended
    result: Mapping[str, Any] | None
    error: str | None
    failures: Sequence[Mapping[str, str]]
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes, unless somebody retries."""
        return self.state in ENDED

    @property
    def share(self) -> float:
        """How far it is, from 0 to 1."""
        if self.state == "finished":
            return 1.0
        within = min(1.0, self.done / self.total) if self.total else 0.0
        if self.kind == "index":
            return within
        return min(1.0, (STEPS.index(self.step) + within) / (len(STEPS) - 1))

    def to_json(self) -> dict[str, Any]:
        """What the API answers."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "actor": self.actor,
            "upload": self.upload,
            "asked": dict(self.asked),
            "progress": {
                "step": self.step,
                "doing": self.doing,
                "done": self.done,
                "total": self.total,
                "share": round(self.share, 3),
                "seconds": round(self.seconds, 1),
            },
            "result": self.result,
            "error": self.error,
            "failures": list(self.failures),
            "attempts": self.attempts,
            "created_at": self.created_at.isoformat(),
            "started_at": None if self.started_at is None else self.started_at.isoformat(),
            "finished_at": None if self.finished_at is None else self.finished_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that this process does, and which attempt at it this is."""

    id: int
    attempt: int
    kind: str
    actor: str
    upload: str | None
    asked: Mapping[str, Any]


def job_of(engine: Engine, job_id: int) -> JobView | None:
    """Return a job, or None."""
    with database_errors(), engine.connect() as connection:
        row = connection.execute(text(f"{_SELECT} WHERE id = :id"), {"id": job_id}).one_or_none()
    return None if row is None else _view(row)


def jobs_of(
    engine: Engine, *, actor: str | None, limit: int = 100, before: int | None = None
) -> list[JobView]:
    """Return jobs of one actor, or of all, newest first."""
    where = (
        "WHERE (CAST(:actor AS text) IS NULL OR actor = :actor) "
        "AND (CAST(:before AS bigint) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit"
    )
    values = {"actor": actor, "before": before, "limit": limit}
    with database_errors(), engine.connect() as connection:
        return [_view(row) for row in connection.execute(text(f"{_SELECT} {where}"), values)]


def claim_job(engine: Engine, job_id: int) -> Claim | None:
    """Take a job up; None where it was cancelled or removed, or has been tried too often."""
    with database_errors(), engine.begin() as connection:
        row = connection.execute(_CLAIM, {"id": job_id}).one_or_none()
        if row is None:
            return None
        claim = Claim(
            id=job_id,
            attempt=row.attempts,
            kind=row.kind,
            actor=row.actor,
            upload=row.upload_id,
            asked=row.asked,
        )
        if claim.attempt > MOST_ATTEMPTS:
            fail_job(
                connection,
                claim,
                f"the worker ended {MOST_ATTEMPTS} times while it did this (out of memory?): "
                "look at its log, then retry",
            )
            return None
    return claim


def put_back(engine: Engine, claim: Claim) -> None:
    """Let a job wait again; the attempt does not count, the worker was asked to stop."""
    with database_errors(), engine.begin() as connection:
        _write(connection, claim, "state = 'queued', attempts = attempts - 1", {})


def note_progress(engine: Engine, claim: Claim, progress: Mapping[str, Any]) -> None:
    """Write how far a job is.

    Raises:
        JobGoneError: it is no longer this worker's.
    """
    with database_errors(), engine.begin() as connection:
        _write(connection, claim, "progress = :progress", {"progress": dict(progress)})


def finish_job(
    connection: Connection,
    claim: Claim,
    result: Mapping[str, Any],
    failures: Sequence[Mapping[str, str]] = (),
    progress: Mapping[str, Any] | None = None,
) -> None:
    """Write that a job is done, in the transaction that stores what it made.

    Raises:
        JobGoneError: it is no longer this worker's: nothing of it may be stored.
    """
    _write(
        connection,
        claim,
        "state = 'finished', finished_at = now(), result = :result, failures = :failures, "
        "progress = coalesce(:progress, progress)",
        {"result": dict(result), "failures": [dict(one) for one in failures], "progress": progress},
    )


def fail_job(connection: Connection, claim: Claim, error: str) -> None:
    """Write why a job failed.

    Raises:
        JobGoneError: it is no longer this worker's.
    """
    _write(
        connection, claim, "state = 'failed', finished_at = now(), error = :error", {"error": storable(error)}
    )


def _write(connection: Connection, claim: Claim, changes: str, values: Mapping[str, Any]) -> None:
    statement = text(
        f"UPDATE job SET {changes} WHERE id = :id AND attempts = :attempt AND state = 'running'"  # noqa: S608
    )
    kinds = [bindparam(name, type_=JSONB(none_as_null=True)) for name in values if name in _JSON]
    found = connection.execute(
        statement.bindparams(*kinds), {**values, "id": claim.id, "attempt": claim.attempt}
    )
    if not found.rowcount:
        raise JobGoneError


def _view(row: Row[Any]) -> JobView:
    progress = row.progress
    return JobView(
        id=row.id,
        kind=row.kind,
        state=row.state,
        actor=row.actor,
        upload=row.upload_id,
        asked=row.asked,
        step=progress.get("step", STEPS[0]),
        doing=progress.get("doing", ""),
        done=progress.get("done", 0),
        total=progress.get("total"),
        seconds=_seconds(row),
        result=row.result,
        error=row.error,
        failures=row.failures,
        attempts=row.attempts,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _seconds(row: Row[Any]) -> float:
    began = row.started_at or row.created_at
    if row.finished_at is not None:
        return float((row.finished_at - began).total_seconds())
    if row.state == "running" and "since" in row.progress:
        began = datetime.fromisoformat(row.progress["since"])
    return max(0.0, float((row.now - began).total_seconds()))


_JSON = {"progress", "result", "failures"}
_SELECT = """
SELECT id, kind, state, actor, upload_id, asked, progress, result, error, failures, attempts, created_at,
    started_at, finished_at, clock_timestamp() AS now
FROM job
"""
_CLAIM = text(
    "UPDATE job SET state = 'running', attempts = attempts + 1, started_at = now(), error = NULL "
    "WHERE id = :id AND state IN ('queued', 'running') RETURNING attempts, kind, actor, upload_id, asked"
)
