"""Wall time of the command line, a process a question, beside what any Python process takes."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.archive import Archive
from tests.benchmarks.asked import Asked

_IMPORTS = "import faiss, numpy, pgvector, psycopg, sqlalchemy"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTime:
    """Median seconds of processes that did nothing else."""

    what: str
    rows: int
    seconds: float


def command_times(archive: Archive, filtered: Asked, repeats: int = 7) -> list[CommandTime]:
    """Time `ctsearch search --case` with and without a filter, and Python alone."""
    command = Path(sys.executable).with_name("ctsearch")
    case = archive.volume[int(filtered.query_Q[0])]
    search = [str(command), "search", "--case", case, "--json"]
    with_filter = [*search, *(word for name in filtered.filters.labels for word in ("--label", name))]
    if filtered.filters.sex:
        with_filter += ["--sex", filtered.filters.sex]
    asked: list[tuple[str, Sequence[str]]] = [
        ("python -c pass", [sys.executable, "-c", "pass"]),
        (f"python -c '{_IMPORTS}'", [sys.executable, "-c", _IMPORTS]),
        ("ctsearch --help", [str(command), "--help"]),
        ("ctsearch search --case X --json", search),
        (f"the same, {filtered.name}", with_filter),
        ("the same, --engine pgvector", [*search, "--engine", "pgvector"]),
    ]
    return [
        CommandTime(what=what, rows=len(archive), seconds=median(_seconds(words) for _ in range(repeats)))
        for what, words in asked
    ]


def _seconds(words: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=os.environ)
    return time.perf_counter() - start
