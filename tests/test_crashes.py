"""Kill -9 of the writer, of PostgreSQL and of the snapshot builder at random points.

What was committed is there, once, and searches are right. `CTSEARCH_CRASHES` says how often each is killed.
"""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from retrieval.migrate import open_archive
from retrieval.postgres_server import EmbeddedServer
from retrieval.records import CollectionInfo
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.snapshot_files import LOCK, UnusableSnapshotError, read_manifest
from retrieval.snapshots import Snapshots
from retrieval.store import Store
from tests.crashing import BATCH, DIM, Forge, latent_of
from tests.small_archive import fill, study, unit

KILLS = int(os.environ.get("CTSEARCH_CRASHES", "10"))
SEED = 3  # of the moments at which is killed
LATEST_S = 0.15  # after the first commit of a round

pytestmark = pytest.mark.slow


@pytest.fixture
def forge(database: str) -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.end()


def empty_collection(engine: Engine) -> CollectionInfo:
    return Store(engine).ensure_collection(
        "default", encoder="tiny", encoder_digest="e" * 64, preprocessing_digest="p" * 64, latent_dim=DIM
    )


def killed_after(moment: random.Random, pid: int) -> None:
    time.sleep(moment.uniform(0, LATEST_S))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def check_archive(engine: Engine, committed: set[int], seed: int) -> None:
    """Committed batches are there whole and once, and both engines find what NumPy does."""
    with engine.connect() as connection:
        rows = connection.execute(text(_LATENTS)).all()
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    expected = {f"s{batch}x{each}_{one}" for batch in committed for each in range(BATCH) for one in (1, 2)}
    assert expected <= set(names)
    assert len(names) % (2 * BATCH) == 0  # a batch of latents is there whole or not at all
    latent_NL = np.array([json.loads(row.latent) for row in rows])
    assert np.allclose(latent_NL, [latent_of(name) for name in names], atol=1e-6)
    query = unit(np.random.default_rng(seed).normal(size=DIM))
    scores = dict(zip(names, latent_NL @ query, strict=True))
    best = sorted(scores.values(), reverse=True)[:10]
    for name in ("faiss", "pgvector"):
        options = SearchOptions(k=10, unit="volume", engine=name)
        [answer] = CaseSearch(engine).search_by_latents(query, options)
        assert (answer.engine, answer.exact) == (name, True)
        assert [hit.score for hit in answer.hits] == pytest.approx(best, abs=1e-6)
        assert [scores[hit.volume] for hit in answer.hits] == pytest.approx(best, abs=1e-6)


def check_folder(folder: Path) -> None:
    parts = read_manifest(folder).parts.values()
    named = {file.name for part in parts for file in (part.index, part.rows)}
    assert {path.name for path in folder.iterdir()} == {*named, "manifest.json", LOCK}


def test_a_writer_that_is_killed_leaves_what_it_committed(engine: Engine, forge: Forge) -> None:
    empty_collection(engine)
    moment = random.Random(SEED)
    committed: set[int] = set()
    for number in range(KILLS):
        child, done = forge.start("write", 1000 * number)
        killed_after(moment, child)
        committed.update(done, map(int, forge.rest()))
        check_archive(engine, committed, number)


def test_a_snapshot_builder_that_is_killed_leaves_a_snapshot_and_no_litter(
    engine: Engine, forge: Forge
) -> None:
    info = empty_collection(engine)
    writer, committed = forge.start("write", 0)
    killed_after(random.Random(SEED), writer)
    committed += map(int, forge.rest())
    folder, moment = Snapshots(engine).folder(info), random.Random(SEED)
    for number in range(KILLS):
        child, _ = forge.start("build", 0)
        killed_after(moment, child)
        forge.rest()
        assert Snapshots(engine).load(info).manifest.count >= 2 * BATCH * len(committed)
        assert len(list(folder.iterdir())) <= 2 + 2 * 2 + 1  # at most one build's litter, and a scratch file
        check_archive(engine, set(committed), number)
        if number % 5 == 0:
            damage(folder)
            with pytest.raises(UnusableSnapshotError):
                Snapshots(engine).load(info)
            check_archive(engine, set(committed), number)
            check_folder(folder)
    Snapshots(engine).build(info)
    check_folder(folder)


def damage(folder: Path) -> None:
    """As a disk does that lost its last writes."""
    [index] = folder.glob(read_manifest(folder).parts["volume"].index.name)
    index.write_bytes(index.read_bytes()[:-512])


@pytest.fixture
def own_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An archive on a server that this test may kill."""
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "own"))
    monkeypatch.delenv("CTSEARCH_DATABASE", raising=False)
    engine = open_archive()
    yield engine
    engine.dispose()
    EmbeddedServer(tmp_path / "own").stop()


def test_a_server_that_is_killed_has_what_was_committed(own_engine: Engine, tmp_path: Path) -> None:
    empty_collection(own_engine)
    server, forge = EmbeddedServer(tmp_path / "own"), Forge()
    moment = random.Random(SEED)
    committed: set[int] = set()
    try:
        for number in range(KILLS):
            child, done = forge.start("write", 1000 * number)
            victims = processes(own_engine, server)
            chosen = victims if number % 3 == 0 else [moment.choice(victims)]
            time.sleep(moment.uniform(0, LATEST_S))
            for pid in chosen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed_after(moment, child)
            committed.update(done, (int(line) for line in forge.rest() if line.isdigit()))
            own_engine.dispose()
            check_archive(own_engine, committed, number)
    finally:
        forge.end()


def test_a_transaction_number_that_a_killed_server_forgot_hides_no_latent(
    own_engine: Engine, tmp_path: Path
) -> None:
    """Numbers of aborted transactions that no log on disk holds come again after a crash."""
    info = fill(own_engine, [study("a")], volumes={"a_1": latent_of("a_1")}, dim=DIM)
    with own_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("ALTER SYSTEM SET wal_writer_delay = '10s'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    forgotten = numbers_aborted(own_engine, 20)
    Snapshots(own_engine).build(info)
    for pid in processes(own_engine, EmbeddedServer(tmp_path / "own")):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    own_engine.dispose()
    fill(own_engine, [study("b")], volumes={"b_1": latent_of("b_1")}, dim=DIM)
    with own_engine.connect() as connection:
        written = connection.execute(text("SELECT max(written_by::text::bigint) FROM embedding")).scalar_one()
    assert written > forgotten
    numbers_aborted(own_engine, 40)  # or the snapshot would be seen to know what is still to come
    options = SearchOptions(engine="faiss", unit="volume")
    [answer] = CaseSearch(own_engine).search_by_latents(latent_of("b_1"), options)
    assert [hit.volume for hit in answer.hits] == ["b_1", "a_1"]


def numbers_aborted(engine: Engine, count: int) -> int:
    """Roll transactions back, and return the last one's number."""
    for _ in range(count):
        with engine.connect() as connection:
            last = connection.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
    return int(last)


def processes(engine: Engine, server: EmbeddedServer) -> list[int]:
    """The server's main process, its helpers, and those that serve clients."""
    with engine.connect() as connection:
        helpers = connection.execute(text("SELECT pid FROM pg_stat_activity ORDER BY backend_type, pid"))
        return [server.state().pid, *helpers.scalars()]


_LATENTS = """
SELECT volume.name, embedding.latent::text AS latent
FROM embedding JOIN volume ON volume.id = embedding.volume_id
"""
