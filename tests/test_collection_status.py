"""Collections as `ctsearch db status` shows them, and index runs whose process is gone."""

import os
import signal
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy import Engine

from retrieval.collection_status import CollectionStatus, collection_statuses
from retrieval.latent_indexes import build_hnsw
from retrieval.snapshots import Snapshots
from retrieval.store import Store
from tests.command import Command
from tests.small_archive import fill, study
from tests.test_latent_indexes import Told

ATTEND = """
import sys, time
from retrieval.postgres import open_engine
from retrieval.store import Store
store = Store(open_engine())
with store.attended_run(store.collection("chest")) as run:
    print(run, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def ctsearch(database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.fixture
def chest(engine: Engine) -> Store:
    """Two scans, three volumes' latents, one report's; and an empty collection beside it."""
    cases = [study("S1", findings="A nodule."), study("S2")]
    volumes = {"S1_1": [1, 0, 0, 0], "S1_2": [1, 1, 0, 0], "S2_1": [0, 1, 0, 0]}
    fill(engine, cases, volumes=volumes, reports={"S1": [0, 0, 1, 0]}, collection="chest")
    fill(engine, [], collection="another")
    return Store(engine)


def status_of(engine: Engine, name: str) -> CollectionStatus:
    return next(status for status in collection_statuses(engine) if status.name == name)


def attending_process() -> "subprocess.Popen[str]":
    """A process that has begun a run in the collection `chest`."""
    process = subprocess.Popen(
        [sys.executable, "-c", ATTEND], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    return process


@pytest.mark.usefixtures("chest")
def test_rows_sizes_and_indexes_are_told_by_kind(engine: Engine, ctsearch: Command) -> None:
    build_hnsw(engine, Store(engine).collection("chest"), Told(), kinds=["volume"])
    another, told = ctsearch("db", "status", "--json").json["collections"]
    assert (another["name"], another["volumes"], another["reports"]) == ("another", 0, 0)
    assert (told["name"], told["volumes"], told["reports"], told["latent_dim"]) == ("chest", 3, 1, 4)
    assert told["hnsw"]["volume"]["state"] == "ready"
    assert told["hnsw"]["report"] == {"state": "missing", "size_bytes": None, "percent": None}
    assert told["size_bytes"] > told["hnsw"]["volume"]["size_bytes"] > 0
    assert told["runs"] == []
    assert told["snapshot"]["state"] == "missing"


def test_a_snapshot_is_current_until_latents_are_written(
    engine: Engine, chest: Store, ctsearch: Command
) -> None:
    Snapshots(engine).build(chest.collection("chest"))
    told = ctsearch("db", "status", "--json").json["collections"][1]["snapshot"]
    assert (told["state"], told["kind"], told["rows"], told["behind"]) == ("current", "flat", 4, 0)
    assert "flat, current" in ctsearch("db", "status").out
    fill(engine, [study("S3")], volumes={"S3_1": [0, 0, 0, 1]}, collection="chest")
    told = ctsearch("db", "status", "--json").json["collections"][1]["snapshot"]
    assert (told["state"], told["rows"], told["behind"]) == ("behind", 4, 1)
    assert "flat, 1 row behind" in ctsearch("db", "status").out


@pytest.mark.usefixtures("chest")
def test_the_table_fits_eighty_columns(
    engine: Engine, ctsearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    fill(engine, [], collection="a" * 63)
    with Store(engine).attended_run(Store(engine).collection("chest")):
        shown = ctsearch("db", "status").out
    table = shown[shown.index("Collection") :].splitlines()
    assert max(map(len, table)) <= 80
    assert any(line.split() == ["chest", "volumes", "3", "missing", "missing"] for line in table)
    assert any(line.split()[-3:] == ["reports", "1", "missing"] for line in table)
    assert any(line.startswith("chest: the index run of ") and "is running" in line for line in table)


def test_a_run_is_running_for_as_long_as_its_process_lives(engine: Engine, chest: Store) -> None:
    process = attending_process()
    [run] = status_of(engine, "chest").runs
    assert run.state == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    while status_of(engine, "chest").runs[0].state == "running":
        pass  # the server notices by itself that its client is gone
    [run] = status_of(engine, "chest").runs
    assert (run.state, run.finished_at) == ("interrupted", None)


def test_the_next_run_records_that_the_one_before_it_was_interrupted(
    engine: Engine, chest: Store, connection: psycopg.Connection
) -> None:
    process = attending_process()
    other = attending_process()
    process.kill()
    process.wait()
    while [run.state for run in status_of(engine, "chest").runs] != ["running", "interrupted"]:
        pass
    with chest.attended_run(chest.collection("chest")) as run:
        rows = connection.execute("SELECT state FROM index_run ORDER BY id").fetchall()
        assert rows == [("interrupted",), ("running",), ("running",)]
        chest.finish_run(run, state="finished", counts={"indexed": 2}, removed={})
    assert [run.state for run in status_of(engine, "chest").runs] == ["finished", "running", "interrupted"]
    other.kill()
    other.wait()


def test_a_run_that_ends_says_how_even_after_its_session_is_gone(
    engine: Engine, chest: Store, connection: psycopg.Connection
) -> None:
    with chest.attended_run(chest.collection("chest")) as run:
        chest.finish_run(run, state="failed", counts={"indexed": 1, "failed": 2}, removed={})
    [told] = status_of(engine, "chest").runs
    assert (told.state, told.counts) == ("failed", {"indexed": 1, "failed": 2})
    assert told.finished_at is not None
    assert connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").fetchone() is None
