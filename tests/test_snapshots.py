"""Snapshots on disk: what is wrong with them is noticed, what was removed is gone, no room is no failure."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from psycopg import sql
from sqlalchemy import Engine

from retrieval.postgres import open_engine
from retrieval.postgres_server import EmbeddedServer
from retrieval.schema import partition_name
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.snapshot_files import (
    LOCK,
    UnusableSnapshotError,
    load_snapshot,
    read_manifest,
    save_manifest,
)
from retrieval.snapshots import FAISS_FROM_ROWS, Snapshots
from retrieval.store import Store
from tests.conftest import TEMPLATE
from tests.small_archive import fill, study
from tests.snapshot_archive import DIM, STUDIES, Archive, latents_of, made, made_large, query


@pytest.fixture
def archive(engine: Engine) -> Archive:
    """Thirty studies of two volumes, and a snapshot of their sixty latents and thirty reports'."""
    archive = made(engine)
    Snapshots(engine).build(archive.info)
    return archive


@pytest.fixture
def large(engine: Engine) -> Archive:
    return made_large(engine)


# Snapshots that may not be trusted


def damaged(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << (position % 8)
    path.write_bytes(content)


def the(folder: Path, pattern: str) -> Path:
    [path] = folder.glob(pattern)
    return path


def edited(folder: Path, **fields: object) -> None:
    document = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(document | fields), encoding="utf-8")


def instead(content: bytes, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "a manifest cut short": lambda folder: (folder / "manifest.json").write_bytes(
        (folder / "manifest.json").read_bytes()[:200]
    ),
    "no index": lambda folder: the(folder, "volume-*.faiss").unlink(),
    "no rows": lambda folder: the(folder, "report-*.npy").unlink(),
    "an index cut short": lambda folder: the(folder, "volume-*.faiss").write_bytes(
        the(folder, "volume-*.faiss").read_bytes()[:-4]
    ),
    "an empty index": lambda folder: the(folder, "volume-*.faiss").write_bytes(b""),
    "rows cut short": lambda folder: the(folder, "volume-*.npy").write_bytes(b"\x93NUMPY"),
    "a flipped bit in a latent": lambda folder: damaged(the(folder, "volume-*.faiss"), 1003),
    "a flipped bit among the rows": lambda folder: damaged(the(folder, "report-*.npy"), 131),
    "the other index": lambda folder: shutil.copy(
        the(folder, "report-*.faiss"), the(folder, "volume-*.faiss")
    ),
    "another format": lambda folder: edited(folder, format=1),
    "a later pg_snapshot": lambda folder: edited(folder, pg_snapshot="1:999999:"),
    "another count": lambda folder: edited(folder, count=7),
    **{
        f"{content[:20]!r} for a manifest": partial(instead, content)
        for content in (b"", b"null", b"[]", b"7", b"{}", b'{"format": 2}', b"\xff\xfe", b"[" * 100_000)
    },
}


SEEN_WHEN_READ = ("a flipped bit in a latent", "a flipped bit among the rows")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_built_again(archive, damage) -> None:
    DAMAGES[damage](archive.folder)
    with pytest.raises(UnusableSnapshotError):
        Snapshots(archive.engine).load(archive.info)
    with archive.engine.connect() as connection:
        state = Snapshots(archive.engine).state(connection, archive.info)
    assert (state.problem is None) == (damage in SEEN_WHEN_READ)
    archive.finds(query())
    assert Snapshots(archive.engine).load(archive.info).manifest.count == 3 * STUDIES
    assert_nothing_is_left_over(archive.folder)


def test_no_flipped_bit_anywhere_changes_an_answer(archive, tmp_path: Path) -> None:
    sound = shutil.copytree(archive.folder, tmp_path / "sound")
    rng = np.random.default_rng(1)
    for path in sorted(sound.iterdir()):
        for _ in range(0 if path.name == LOCK else 6):
            shutil.rmtree(archive.folder)
            shutil.copytree(sound, archive.folder)
            damaged(archive.folder / path.name, int(rng.integers(path.stat().st_size * 8)))
            archive.finds(query())


def test_a_snapshot_of_another_encoder_is_built_again(archive) -> None:
    for said in ({"encoder_digest": "f" * 64}, {"preprocessing_digest": "f" * 64}, {"collection_id": 99}):
        manifest = read_manifest(archive.folder)
        save_manifest(archive.folder, replace(manifest, **said))
        with pytest.raises(UnusableSnapshotError, match="another collection or encoder"):
            Snapshots(archive.engine).load(archive.info)
        archive.finds(query())
        assert read_manifest(archive.folder).encoder_digest == archive.info.encoder_digest


@pytest.fixture
def other_database(
    server: EmbeddedServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """A second archive on the same server, with ids like those of the first."""
    name = urlsplit(database).path.strip("/") + "_2"
    with server.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTSEARCH_DATABASE", urlsplit(database)._replace(path=f"/{name}").geturl())
        engine = open_engine()
    yield engine
    engine.dispose()
    with server.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_snapshot_of_another_database_is_built_again(archive, other_database) -> None:
    other = made(other_database, seed=77)
    assert other.info.id == archive.info.id
    assert other.folder != archive.folder
    shutil.copytree(archive.folder, other.folder)
    with pytest.raises(UnusableSnapshotError, match="another archive"):
        Snapshots(other.engine).load(other.info)
    other.finds(query())


def test_a_snapshot_from_after_the_server_was_put_back_is_built_again(archive) -> None:
    """It knows transactions that are still to come: what they write would count as known to it."""
    manifest = read_manifest(archive.folder)
    save_manifest(archive.folder, replace(manifest, pg_snapshot="999999999:999999999:"))
    for _ in range(2):
        Store(archive.engine).save_embeddings(archive.info, [archive.row("s07_1", query())])
        archive.latents["s07_1"] = query()
        archive.finds(query())
    assert read_manifest(archive.folder).pg_snapshot != "999999999:999999999:"


def test_latents_restored_from_a_dump_are_not_taken_for_those_of_the_snapshot(archive, connection) -> None:
    """They bring the numbers of transactions that the snapshot knows, and are not what it holds."""
    latents, table = dict(archive.latents), partition_name(archive.info.id)
    connection.execute(f"CREATE TABLE dump AS SELECT * FROM {table}")
    Store(archive.engine).save_embeddings(archive.info, [archive.row("s07_1", -query())])
    Snapshots(archive.engine).build(archive.info)
    with connection.transaction():
        connection.execute(f"TRUNCATE {table}")
        connection.execute(f"INSERT INTO {table} SELECT * FROM dump")
    archive.latents, before = latents, read_manifest(archive.folder)
    [answer] = CaseSearch(archive.engine).search_by_latents(
        latents["s07_1"], SearchOptions(k=1, unit="volume", engine="faiss")
    )
    assert answer.hits[0].volume == "s07_1"
    assert read_manifest(archive.folder) != before
    archive.finds(query())


def test_latents_from_another_server_are_in_the_next_snapshot(archive, connection) -> None:
    """Their transactions are yet to come here; left so, they would be newer than any snapshot."""
    connection.execute("UPDATE embedding SET written_by = '99999999'")
    archive.finds(query())
    Snapshots(archive.engine).build(archive.info)
    with archive.engine.connect() as reading:
        assert Snapshots(archive.engine).state(reading, archive.info).behind == 0
    archive.finds(query())


# Building, replacing, deleting


def assert_nothing_is_left_over(folder: Path) -> None:
    parts = read_manifest(folder).parts.values()
    named = {file.name for part in parts for file in (part.index, part.rows)}
    assert {path.name for path in folder.iterdir()} == {*named, "manifest.json", LOCK}


def test_a_manifest_says_what_a_snapshot_is_of(archive) -> None:
    document = json.loads((archive.folder / "manifest.json").read_bytes())
    said = {key: document[key] for key in ("collection", "encoder_digest", "count", "kind", "latent_dim")}
    assert said == {
        "collection": "default",
        "encoder_digest": "e" * 64,
        "count": 3 * STUDIES,
        "kind": "flat",
        "latent_dim": DIM,
    }
    xmin, xmax, _ = document["pg_snapshot"].split(":")
    assert 0 < int(xmin) <= int(xmax)
    assert isinstance(document["checksum"], int)
    assert {kind: part["count"] for kind, part in document["parts"].items()} == {
        "volume": 2 * STUDIES,
        "report": STUDIES,
    }
    for part in document["parts"].values():
        for file in (part["index"], part["rows"]):
            assert (archive.folder / file["name"]).stat().st_size == file["bytes"]
            assert isinstance(file["crc32"], int)


def test_a_snapshot_that_is_replaced_while_it_is_loaded_is_loaded_as_it_is_then(archive) -> None:
    old = read_manifest(archive.folder)
    Snapshots(archive.engine).build(archive.info)
    with pytest.raises(UnusableSnapshotError, match="missing"):
        load_snapshot(archive.folder, old)
    ended, failures = threading.Event(), []

    def build() -> None:
        try:
            for _ in range(20):
                Snapshots(archive.engine).build(archive.info)
        except Exception as error:
            failures.append(error)
        finally:
            ended.set()

    builder = threading.Thread(target=build)
    builder.start()
    while not ended.is_set():
        assert Snapshots(archive.engine).load(archive.info).manifest.count == 3 * STUDIES
        archive.finds(query())
    builder.join()
    assert failures == []
    assert_nothing_is_left_over(archive.folder)


BUILD = """
from encoders.errors import ConfigError, StorageError
from retrieval.faiss_collection import open_faiss
from retrieval.postgres import open_engine
from retrieval.snapshots import Snapshots
from retrieval.store import Store
engine = open_engine()
info = Store(engine).collection("default")
for _ in range(5):
    Snapshots(engine).build(info)
    assert Snapshots(engine).load(info).manifest.count == 90
"""


def test_two_processes_that_build_at_once_leave_one_snapshot(archive) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", BUILD], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    assert_nothing_is_left_over(archive.folder)
    archive.finds(query())


def test_searches_that_meet_no_snapshot_build_one_together(archive) -> None:
    shutil.rmtree(archive.folder)
    service = CaseSearch(archive.engine)
    seen: list[str] = []

    def ask() -> None:
        snapshot = service._snapshots.required(archive.info)
        seen.append(snapshot.manifest.parts["volume"].index.name)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert len(set(seen)) == 1


def test_what_builds_left_that_were_killed_goes_with_the_next_one(archive) -> None:
    for name in ("volume-0123.faiss", "report-0123.npy", ".manifest.json.abc"):
        (archive.folder / name).write_bytes(b"half")
    Snapshots(archive.engine).build(archive.info)
    assert_nothing_is_left_over(archive.folder)


def test_a_patient_who_is_removed_leaves_the_files_of_snapshots(archive) -> None:
    latent = archive.latents["s07_1"].astype("<f4").tobytes()
    assert any(latent in path.read_bytes() for path in archive.folder.iterdir())
    service = CaseSearch(archive.engine)
    service.remove_patient("patient of s07")
    home = archive.folder.parents[2]
    assert all(latent not in path.read_bytes() for path in home.rglob("*") if path.is_file())
    archive.latents = {name: one for name, one in archive.latents.items() if not name.startswith("s07")}
    archive.finds(query(), service=service)
    service.remove_study("s08")
    assert [path.name for path in archive.folder.iterdir()] == [LOCK]


def test_a_build_that_read_a_patient_before_the_removal_does_not_keep_them(archive) -> None:
    latent = archive.latents["s07_1"].astype("<f4").tobytes()
    has_read, may_go_on = threading.Event(), threading.Event()

    def wait(_done: int, _total: int) -> None:
        has_read.set()
        may_go_on.wait(60)

    builder = threading.Thread(target=lambda: Snapshots(archive.engine).build(archive.info, progress=wait))
    remover = threading.Thread(target=lambda: CaseSearch(archive.engine).remove_patient("patient of s07"))
    builder.start()
    assert has_read.wait(60)
    remover.start()
    may_go_on.set()
    builder.join()
    remover.join()
    assert all(latent not in path.read_bytes() for path in archive.folder.iterdir())
    archive.latents = {name: one for name, one in archive.latents.items() if not name.startswith("s07")}
    archive.finds(query())


def test_a_collection_that_is_dropped_leaves_no_snapshot(archive) -> None:
    CaseSearch(archive.engine).drop_collection("default")
    assert [path.name for path in archive.folder.iterdir()] == [LOCK]


def test_a_snapshot_is_renewed_when_too_much_is_newer(large) -> None:
    """10,000 rows are borne; one more is not."""
    first = Snapshots(large.engine).current(large.info)
    assert first is not None
    names = [f"w{number}" for number in range(10_001)]
    more = dict(zip(names, latents_of(10_001, seed=6), strict=True))
    fill(large.engine, [study("t", volumes=names)], volumes=dict(list(more.items())[:-1]), dim=DIM)
    for ask in (Snapshots(large.engine).current, Snapshots(large.engine).required):
        assert ask(large.info).manifest == first.manifest
    Store(large.engine).save_embeddings(large.info, [large.row(names[-1], more[names[-1]])])
    renewed = Snapshots(large.engine).current(large.info)
    assert renewed is not None
    assert renewed.manifest.count == FAISS_FROM_ROWS + 10_001
    assert Snapshots(large.engine).required(large.info).manifest == renewed.manifest
