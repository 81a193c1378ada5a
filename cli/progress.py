"""Progress of long work on stderr: a bar in a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from retrieval.index_summary import IndexProgress

_LOG_EVERY_S = 10.0


class _Clock:
    """Seconds since the work began that `done` counts: it begins anew where the count falls back."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._done = 0

    def seconds(self, done: int) -> float:
        if done < self._done:
            self._start = time.monotonic()
        self._done = done
        return max(time.monotonic() - self._start, 1e-3)


class _Bar(IndexProgress):
    """A bar with rate and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading", total=None, rate="", failed="")
        self._clock = _Clock()

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        rate = done / self._clock.seconds(done)
        self._progress.update(
            self._task,
            completed=done,
            total=total,
            description=step,
            rate=f"{rate:.1f}/s",
            failed=f"{failed} failed" if failed else "",
        )


class _Log(IndexProgress):
    """A line every ten seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = _Clock()
        self._last = time.monotonic()

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        now, seconds = time.monotonic(), self._clock.seconds(done)
        if now - self._last < _LOG_EVERY_S:
            return
        self._last = now
        rate = done / seconds
        left = f", {(total - done) / rate:.0f} s left" if total and done and total >= done else ""
        of = f"/{total}" if total else ""
        self._console.print(f"{step} {done}{of}, {rate:.1f}/s, {failed} failed{left}", highlight=False)


@contextmanager
def indexing_progress() -> Iterator[IndexProgress]:
    """Yield what `retrieval.indexing` reports to."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Log(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress)


@contextmanager
def byte_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield what is told a step, bytes done and of how many: `retrieval.backup_file.Progress`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _byte_log(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(step: str, done: int, total: int | None) -> None:
            progress.update(task, description=step, completed=done, total=total)

        yield show


def _byte_log(console: Console) -> Callable[[str, int, int | None], None]:
    """Return what writes a line for each step at once, and every ten seconds."""
    last_step, last = "", 0.0

    def log(step: str, done: int, total: int | None) -> None:
        nonlocal last_step, last
        now = time.monotonic()
        if step == last_step and now - last < _LOG_EVERY_S:
            return
        last_step, last = step, now
        of = f" of {total / 1e6:,.1f}" if total else ""
        console.print(f"{step}: {done / 1e6:,.1f}{of} MB", highlight=False)

    return log
