"""Starts several processes that train together, as torchrun would."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence


def together(count: int, *command: object, **environment: str) -> list[subprocess.Popen[str]]:
    """Start `python -m command…` as that many processes of one group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]


def finish_all(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait for them and return what they wrote; one that fails fails the test with its words."""
    said = [process.communicate(timeout=300)[0] for process in processes]
    for process, words in zip(processes, said, strict=True):
        assert process.returncode == 0, words[-4000:]
    return said
