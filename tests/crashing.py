"""Processes that are to be killed: one imports everything, and forks a child for each round.

The children write lines to its stdout: what they have committed. "gone" follows when one has died.
"""

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import count

import numpy as np

from retrieval.faiss_collection import INDEX_KINDS, open_faiss
from retrieval.postgres import open_engine
from retrieval.records import EmbeddingRow
from retrieval.snapshots import Snapshots
from retrieval.store import Store
from tests.small_archive import study, unit

DIM = 8
BATCH = 10  # studies of two volumes


def latent_of(volume: str) -> np.ndarray:
    """The latent that a volume has, by its name."""
    return unit(np.random.default_rng(zlib.crc32(volume.encode())).normal(size=DIM))


def write(first: int) -> None:
    """Store batches without end, one transaction for cases and one for latents; say which are committed."""
    store = Store(open_engine())
    info = store.collection("default")
    for batch in count(first):
        cases = [study(f"s{batch}x{each}", findings="A nodule.") for each in range(BATCH)]
        saved = store.save_cases(cases)
        rows = [
            EmbeddingRow(
                study_id=saved.study_id(case),
                volume_id=saved.volume_id(case, volume),
                content=b"x",
                latent=latent_of(volume.name),
            )
            for case in cases
            for volume in case.volumes
        ]
        store.save_embeddings(info, rows)
        say(str(batch))


def build(_: int) -> None:
    """Build the snapshot again and again, of every kind."""
    engine = open_engine()
    info = Store(engine).collection("default")
    for number in count():
        Snapshots(engine).build(info, kind=INDEX_KINDS[number % len(INDEX_KINDS)])
        say(str(number))


def say(line: str) -> None:
    """Write a line at once: nothing of it is lost with the process."""
    os.write(1, line.encode() + b"\n")


def fork_children() -> None:
    """For each line "work number" on stdin fork a child, say its process id, and "gone" when it has died."""
    works: dict[str, Callable[[int], None]] = {"write": write, "build": build}
    open_faiss()
    for line in sys.stdin:
        work, number = line.split()
        child = os.fork()
        if child == 0:
            try:
                works[work](int(number))
            except Exception as error:  # the server was killed
                say(f"ended: {type(error).__name__}")
            os._exit(0)
        say(f"child {child}")
        os.waitpid(child, 0)
        say("gone")


class Forge:
    """The process that forks, from outside."""

    def __init__(self) -> None:
        code = "from tests.crashing import fork_children; fork_children()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, work: str, number: int) -> tuple[int, list[int]]:
        """Start a child; return its process id once it has committed something, and what that is."""
        self._process.stdin.write(f"{work} {number}\n")
        self._process.stdin.flush()
        child = 0
        done: list[int] = []
        while not (child and done):
            line = self._line()
            if line.startswith("child"):
                child = int(line.split()[1])
            else:
                done.append(int(line))
        return child, done

    def rest(self) -> list[str]:
        """What the child still said, once it is gone."""
        lines = []
        while (line := self._line()) != "gone":
            lines.append(line)
        return lines

    def _line(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that forks has ended")
        return line.strip()

    def end(self) -> None:
        """End it, and the child with it if one lives."""
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
