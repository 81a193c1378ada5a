"""Runs `ctsearch` as a person would: in this process, or in one of its own where it is to be killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class Command:
    """Runs commands against the database and home that the environment names."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: object) -> Finished:
        """Run to the end in this process."""
        from cli.main import main

        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["ctsearch", *map(str, arguments)])
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code
        said = self._capsys.readouterr()
        return Finished(int(code or 0), said.out, said.err)


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Finished:
    """Wait for a started command."""
    out, err = process.communicate(timeout=300)
    return Finished(process.returncode, out, err)


def until(holds: Callable[[], bool], *, patience_s: float = 120.0) -> None:
    """Wait for what another thread or process brings about; fail when it does not."""
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
