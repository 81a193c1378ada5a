"""An archive of a dozen phantoms, indexed once a session; each test or module gets a copy of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from psycopg import sql
from sqlalchemy import Engine

from retrieval.archive import index_archive
from retrieval.index_summary import IndexRequest
from retrieval.postgres import open_engine
from retrieval.postgres_server import EmbeddedServer

INDEXED = "template_phantoms"
SOURCE = "12:7"  # how many, and their seed
COLLECTION = "phantoms"


class Silent:
    """Nobody looks how far the indexing is."""

    def update(self, **_: object) -> None:
        pass


@contextmanager
def phantom_engine(server: EmbeddedServer, name: str) -> Iterator[Engine]:
    """An engine on a copy of the indexed phantoms: `CTSEARCH_DATABASE`, beside an empty home."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ctsearch-home-") as home:
        patch.setenv("CTSEARCH_HOME", home)
        _index_once(server, patch)
    with copied_engine(server, INDEXED, name) as engine:
        yield engine


@contextmanager
def copied_engine(server: EmbeddedServer, template: str, name: str) -> Iterator[Engine]:
    """An engine on a copy of a database: `CTSEARCH_DATABASE`, beside an empty home, both gone at the end."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ctsearch-home-") as home:
        patch.setenv("CTSEARCH_HOME", home)
        _copy(server, template, name)
        patch.setenv("CTSEARCH_DATABASE", _address(server, name))
        engine = open_engine()
        try:
            yield engine
        finally:
            engine.dispose()
            with server.connect(autocommit=True) as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )


def _index_once(server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    with server.connect(autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [INDEXED]).fetchone()
    if there:
        return
    _copy(server, "template_archive", INDEXED)
    patch.setenv("CTSEARCH_DATABASE", _address(server, INDEXED))
    index_archive(IndexRequest(source=SOURCE, format="phantom", collection=COLLECTION), Silent())


def _copy(server: EmbeddedServer, template: str, name: str) -> None:
    with server.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )


def _address(server: EmbeddedServer, name: str) -> str:
    return urlsplit(str(server.state().address))._replace(path=f"/{name}").geturl()
