"""The worker beside the server: started with it, started again when it dies, ended with it."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

_log = logging.getLogger(__name__)

WRONG_INPUT = 2  # as the command line ends when its options or settings are wrong: once more helps nobody
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_ENDS_WITHIN_S = 20.0


def worker_command(device: str) -> tuple[str, ...]:
    """Return the command of a worker that ends with this process."""
    return (sys.executable, "-m", "cli.main", "worker", "--device", device, "--ends-with-stdin")


class WorkerProcess:
    """Keeps one process running; a context manager."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._watch = threading.Thread(target=self._keep_running, name="worker process", daemon=True)

    def __enter__(self) -> "WorkerProcess":
        """Start it."""
        self._start()
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it: it may finish what it does within 20 s, and is killed then."""
        with self._starting:
            self._ending.set()
        running = self._running  # the last: none is started any more
        if running is not None and running.poll() is None:
            running.terminate()
        self._watch.join(_ENDS_WITHIN_S)
        if running is not None and running.poll() is None:
            running.kill()
            self._watch.join()

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._running is None else self._running.pid

    @property
    def is_kept(self) -> bool:
        """Whether it is started again when it dies."""
        return self._watch.is_alive()

    def _start(self) -> bool:
        """Start it unless the end has begun."""
        with self._starting:
            if not self._ending.is_set():
                # Its end of the pipe tells it when this process is gone, however that ended.
                self._running = subprocess.Popen(self._command, stdin=subprocess.PIPE)  # noqa: S603 - our own
        return not self._ending.is_set()

    def _keep_running(self) -> None:
        wait_s, since = _FIRST_WAIT_S, time.monotonic()
        while self._running is not None:
            code = self._running.wait()
            if self._ending.is_set():
                return
            if code == WRONG_INPUT:
                _log.error("the worker cannot run, jobs wait: see what it said above")
                return
            if time.monotonic() - since > _LONGEST_WAIT_S:
                wait_s = _FIRST_WAIT_S
            _log.warning("the worker ended with code %d, it is started again in %.0f s", code, wait_s)
            if self._ending.wait(wait_s) or not self._start():
                return
            wait_s, since = min(2 * wait_s, _LONGEST_WAIT_S), time.monotonic()
