"""A home of the benchmark's own: its embedded server, its snapshots, nothing of the user's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from retrieval.migrate import open_archive
from retrieval.postgres_server import EmbeddedServer


@contextmanager
def own_archive(home: Path) -> Iterator[Engine]:
    """Yield the archive of a home; its server is stopped afterwards, the environment as it was."""
    before = {name: os.environ.get(name) for name in ("CTSEARCH_HOME", "CTSEARCH_DATABASE")}
    os.environ["CTSEARCH_HOME"] = str(home)
    os.environ.pop("CTSEARCH_DATABASE", None)
    engine = open_archive()
    try:
        yield engine
    finally:
        engine.dispose()
        EmbeddedServer(home).stop()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
