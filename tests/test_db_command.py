"""`ctsearch db` as a person types it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.db import app
from encoders.errors import ConfigError
from retrieval.postgres_server import EmbeddedServer
from retrieval.schema import REVISION

run = CliRunner()


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CTSEARCH_DATABASE", raising=False)
    yield tmp_path / "home"
    EmbeddedServer(tmp_path / "home").stop()


def test_a_database_is_looked_at_made_looked_at_again_and_stopped(own_home: Path) -> None:
    assert "embedded, stopped" in run.invoke(app, ["status"]).stdout
    assert not (own_home / "postgres").exists()  # looking starts nothing
    assert run.invoke(app, ["upgrade"]).stdout == f"the schema went from empty to {REVISION}\n"
    assert run.invoke(app, ["upgrade"]).stdout == f"the schema is up to date ({REVISION})\n"
    told = json.loads(run.invoke(app, ["status", "--json"]).stdout)
    assert (told["embedded"], told["running"]) == (True, True)
    assert (told["schema"], told["newest_schema"]) == (REVISION, REVISION)
    assert told["size_bytes"] > 0
    assert run.invoke(app, ["stop"]).stdout == "the database is stopped\n"
    assert run.invoke(app, ["stop"]).stdout == "the database was not running\n"


def test_the_status_of_a_named_server_shows_no_password(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTSEARCH_DATABASE", f"{database}&password=secret")
    shown = run.invoke(app, ["status"])
    assert shown.exit_code == 1  # a wrong password
    monkeypatch.setenv("CTSEARCH_DATABASE", database)
    shown = run.invoke(app, ["status"])
    assert "CTSEARCH_DATABASE, running" in shown.stdout
    assert "passfile" not in shown.stdout


def test_a_server_of_somebody_elses_is_not_stopped(database: str) -> None:
    stopped = run.invoke(app, ["stop"])
    assert isinstance(stopped.exception, ConfigError)
    assert "CTSEARCH_DATABASE names a server that ctsearch did not start" in str(stopped.exception)
    assert "running" in run.invoke(app, ["status"]).stdout
