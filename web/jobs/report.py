"""What a job says of itself while it is done: which step, how many of how many."""

import time
from datetime import UTC, datetime

from sqlalchemy import Engine

from web.jobs.job_rows import STEPS, Claim, note_progress
from web.jobs.queue import PutBackError, Stopping

_EVERY_S = 0.3


class Report:
    """Writes progress, not more often than somebody can read; stops the job where it is to be stopped."""

    def __init__(self, engine: Engine, claim: Claim, stopping: Stopping) -> None:
        self._engine = engine
        self._claim = claim
        self._stopping = stopping
        self._written_at = 0.0
        self._said = ("", "")
        self._since = ""

    def say(self, step: str, doing: str, done: int = 0, total: int | None = None) -> None:
        """Say that `step` is reached, and what is being done next.

        Raises:
            PutBackError: the worker was asked to stop.
            JobGoneError: the job was cancelled, or is another worker's.
        """
        if self._stopping():
            raise PutBackError("the worker was asked to stop")
        is_new = (step, doing) != self._said
        if not is_new and time.monotonic() - self._written_at < _EVERY_S:
            return
        if is_new:
            self._said, self._since = (step, doing), datetime.now(UTC).isoformat()
        self._written_at = time.monotonic()
        note_progress(self._engine, self._claim, self._progress(done, total))

    def last(self) -> dict[str, object]:
        """What is to be said when the job is done."""
        self._said = (STEPS[-1], "")
        return self._progress(0, None)

    def _progress(self, done: int, total: int | None) -> dict[str, object]:
        step, doing = self._said
        return {"step": step, "doing": doing, "done": done, "total": total, "since": self._since}

    # What `retrieval.archive.index_archive` is shown by

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        """Say how many studies of a source are through."""
        self.say("read", f"{step}, {failed} failed" if failed else step, done, total)
