"""A real PostgreSQL for the tests: the embedded server, over TCP, in a home of its own; a database a test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine

from retrieval.migrate import upgrade
from retrieval.postgres import open_engine
from retrieval.postgres_server import EmbeddedServer
from retrieval.records import CollectionInfo
from retrieval.store import Store
from tests.browser import browser, page
from tests.forked_workers import workers
from tests.stored import make_collection

__all__ = ["browser", "page", "workers"]  # fixtures

TEMPLATE = "template_archive"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """The embedded server in a temporary home, with a migrated database to copy from."""
    with tempfile.TemporaryDirectory(prefix="ctsearch-tests-", ignore_cleanup_errors=True) as folder:
        running = EmbeddedServer(Path(folder))
        try:
            with running.connect(autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("CTSEARCH_DATABASE", address_of(running, TEMPLATE))
                template = open_engine()
                upgrade(template)
                template.dispose()
            yield running
        finally:
            running.stop()


@pytest.fixture
def database(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh, migrated database: `CTSEARCH_DATABASE`, beside an empty `CTSEARCH_HOME`."""
    name = f"test_{os.getpid()}_{tmp_path.name}"[:60]
    with server.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    address = address_of(server, name)
    monkeypatch.setenv("CTSEARCH_DATABASE", address)
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "home"))
    yield address
    with server.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on a fresh, migrated database."""
    opened = open_engine()
    yield opened
    opened.dispose()


@pytest.fixture
def empty_database(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a database without any table; `CTSEARCH_DATABASE` points to it."""
    name = f"empty_{os.getpid()}"
    with server.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    address = address_of(server, name)
    monkeypatch.setenv("CTSEARCH_DATABASE", address)
    yield address
    with server.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A plain connection to the fresh database, every statement its own transaction."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


def address_of(server: EmbeddedServer, name: str) -> str:
    """The address of one of the test server's databases."""
    address = server.state().address
    if address is None:
        raise RuntimeError(f"the tests' server is not running: {server.state()}")
    return urlsplit(address)._replace(path=f"/{name}").geturl()


@pytest.fixture
def store(engine: Engine) -> Store:
    """The store of a fresh database."""
    return Store(engine)


@pytest.fixture
def collection(store: Store) -> CollectionInfo:
    """A collection without latents."""
    return make_collection(store, "chest")
