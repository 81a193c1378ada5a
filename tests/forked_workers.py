"""Real `ctsearch worker` processes to be killed: one process imports everything and forks each of them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest


def main() -> None:
    """For each line of JSON on stdin fork a worker and say its pid, or wait for one and say how it ended."""
    import torch  # noqa: F401 - what takes time to import is imported here, once

    import web.jobs.worker  # noqa: F401

    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            say(os.waitstatus_to_exitcode(status))
            continue
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.environ.update(asked["environment"])
            sys.argv = ["ctsearch", "worker", *asked["arguments"]]
            run()
        say(child)


def run() -> None:
    """Run the command as its script does, and end this process."""
    from cli.main import main as ctsearch

    code: Any = 1
    try:
        ctsearch()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        os._exit(int(code))


def say(number: int) -> None:
    """Write a number at once."""
    os.write(1, f"{number}\n".encode())


class Workers:
    """The process that forks, from outside."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.forked_workers import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        self._running: set[int] = set()

    def start(self, *arguments: str) -> int:
        """Start a worker on the archive that the environment names; return its pid."""
        names = ("CTSEARCH_DATABASE", "CTSEARCH_HOME")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        pid = self._ask({"environment": environment, "arguments": arguments})
        self._running.add(pid)
        return pid

    def end(self, pid: int, number: int = signal.SIGTERM) -> int:
        """Send a worker a signal, wait for its end, and return its exit code (negative: of a signal)."""
        if pid not in self._running:
            return 0
        os.kill(pid, number)
        return self.wait(pid)

    def wait(self, pid: int) -> int:
        """Wait for a worker's end, and return its exit code."""
        code = self._ask({"wait": pid})
        self._running.discard(pid)
        return code

    def close(self) -> None:
        """End all of them."""
        for pid in list(self._running):
            self.end(pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, what: dict[str, Any]) -> int:
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Starts real worker processes."""
    opened = Workers()
    yield opened
    opened.close()
