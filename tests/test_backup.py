"""Backups by a real server: what comes back, what is refused, and what a kill leaves."""

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psycopg
import pytest
from sqlalchemy import Engine, text

from encoders.errors import ConfigError, DatabaseError, InputError, StorageError
from retrieval import migrate
from retrieval.archive_key import KEY_FILE, make_key
from retrieval.backup import make_backup
from retrieval.backup_file import DUMP, KEY, MANIFEST
from retrieval.latent_indexes import build_hnsw
from retrieval.postgres import open_engine
from retrieval.postgres_server import EmbeddedServer
from retrieval.restore import restore_backup
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.snapshots import Snapshots
from tests.small_archive import fill, study
from tests.snapshot_archive import Archive, made_large, query

QUIET = ("audit_event", "job", "web_session")  # a restore writes there itself


def silent(step: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""


class Untold:
    """Likewise, of an index."""

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        pass


def rows_of(address: str) -> dict[str, list[str]]:
    """Every row of every table, as text, in an order of its own."""
    with psycopg.connect(address) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        return {
            name: sorted(
                row for (row,) in connection.execute(f'SELECT t::text FROM "{name}" AS t').fetchall()
            )
            for (name,) in names
            if name not in QUIET
        }


def shape_of(address: str) -> list[tuple]:
    """Columns, constraints and indexes, as PostgreSQL writes them."""
    queries = (
        "SELECT table_name, column_name, data_type, column_default, generation_expression, is_nullable "
        "FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT attrelid::regclass::text, attname, attstorage::text FROM pg_attribute "
        "WHERE attname = 'latent' AND attnum > 0",
    )
    with psycopg.connect(address) as connection:
        return sorted(tuple(map(str, row)) for asked in queries for row in connection.execute(asked))


def emptied(address: str) -> None:
    """Drop the archive as an administrator would."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("DROP SCHEMA queue CASCADE")
        connection.execute("CREATE SCHEMA public")


def answers(engine: Engine, kind: str) -> list[tuple]:
    """What a search finds: names and scores."""
    options = SearchOptions(k=20, engine=kind)
    [found] = CaseSearch(engine).search_by_latents(query(), options)
    return [(hit.study, hit.volume, hit.score) for hit in found.hits]


@pytest.fixture
def archive(engine: Engine) -> Archive:
    """Studies with reports and latents, enough for a snapshot; an HNSW index, a key, a queue."""
    made = made_large(engine)
    make_key()
    build_hnsw(engine, made.info, Untold())
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA queue"))
        connection.execute(text("CREATE TABLE queue.procrastinate_jobs (id bigserial, status text)"))
        connection.execute(text("INSERT INTO queue.procrastinate_jobs (status) VALUES ('todo')"))
    return made


def test_a_dropped_archive_comes_back_row_by_row_with_the_same_answers(
    archive: Archive, database: str, tmp_path: Path
) -> None:
    before, shape, found = rows_of(database), shape_of(database), answers(archive.engine, "faiss")
    exact = answers(archive.engine, "pgvector")
    key = (tmp_path / "home" / KEY_FILE).read_bytes()
    made = make_backup(tmp_path / "b.zip", progress=silent)
    assert stat.S_IMODE((tmp_path / "b.zip").stat().st_mode) == 0o600
    assert made.rows["study"] == len(before["study"])
    archive.engine.dispose()
    emptied(database)
    shutil.rmtree(tmp_path / "home")

    restore_backup(tmp_path / "b.zip", progress=silent)
    assert rows_of(database) == before
    assert shape_of(database) == shape
    assert (tmp_path / "home" / KEY_FILE).read_bytes() == key
    assert stat.S_IMODE((tmp_path / "home" / KEY_FILE).stat().st_mode) == 0o600
    again = open_engine()
    migrate.check(again)
    assert answers(again, "faiss") == found
    assert answers(again, "pgvector") == exact
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('queue.procrastinate_jobs')").fetchone() == (None,)
        said = connection.execute("SELECT action FROM audit_event ORDER BY id").fetchall()
    assert said[-1] == ("restore",)
    again.dispose()


def test_a_replaced_archive_loses_what_the_backup_has_not(
    archive: Archive, database: str, tmp_path: Path
) -> None:
    make_backup(tmp_path / "b.zip", progress=silent)
    before = rows_of(database)
    fill(archive.engine, [study("later")], volumes={"later_1": [1, 0, 0, 0]}, collection="other", dim=4)
    Snapshots(archive.engine).build(archive.info)
    (tmp_path / "home" / "tokens").mkdir()
    with pytest.raises(ConfigError, match=r"not empty \(\d,\d+ rows in .*say --replace"):
        restore_backup(tmp_path / "b.zip", progress=silent)
    archive.engine.dispose()
    restore_backup(tmp_path / "b.zip", replace=True, progress=silent)
    assert rows_of(database) == before
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [KEY_FILE]


def test_an_older_backup_is_upgraded(archive: Archive, database: str, tmp_path: Path) -> None:
    migrate.downgrade(archive.engine, "0003")
    made = make_backup(tmp_path / "b.zip", progress=silent)
    assert made.schema == "0003"
    archive.engine.dispose()
    emptied(database)
    restore_backup(tmp_path / "b.zip", progress=silent)
    again = open_engine()
    migrate.check(again)
    again.dispose()


def altered(source: Path, target: Path, **changes: object) -> Path:
    """A copy whose manifest says something else."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == MANIFEST:
                content = json.dumps(json.loads(content) | changes).encode()
            new.writestr(name, content)
    return target


@pytest.fixture
def backup(archive: Archive, database: str, tmp_path: Path) -> Path:
    """A backup, and a database that was emptied since."""
    make_backup(tmp_path / "b.zip", progress=silent)
    archive.engine.dispose()
    emptied(database)
    return tmp_path / "b.zip"


def test_a_wrong_file_is_refused_in_one_sentence(backup: Path, database: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no backup")
    (tmp_path / "half").write_bytes(backup.read_bytes()[:10_000])
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a", "b")
    spoilt = bytearray(backup.read_bytes())
    spoilt[5_000] ^= 1
    (tmp_path / "spoilt").write_bytes(spoilt)
    for name, said in (
        ("missing", "cannot be read: No such file"),
        ("text", "no backup of ctsearch, or only the beginning"),
        ("half", "no backup of ctsearch, or only the beginning"),
        ("other.zip", "has no manifest"),
        ("spoilt", f"damaged at {DUMP}|not what was backed up"),
    ):
        with pytest.raises(InputError, match=said):
            restore_backup(tmp_path / name, progress=silent)
    assert rows_of(database) == {}


def test_a_backup_of_a_newer_version_or_server_is_refused(
    backup: Path, database: str, tmp_path: Path
) -> None:
    newer = altered(backup, tmp_path / "n", schema="9999")
    with pytest.raises(DatabaseError, match=r"newer ctsearch .*install that version"):
        restore_backup(newer, progress=silent)
    newer = altered(backup, tmp_path / "n", postgres=990001)
    with pytest.raises(DatabaseError, match="made from PostgreSQL 99 and the server is 18"):
        restore_backup(newer, progress=silent)
    assert rows_of(database) == {}


def test_missing_rows_leave_everything_as_it_was(backup: Path, database: str, tmp_path: Path) -> None:
    fewer = altered(backup, tmp_path / "n", rows={"study": 77})
    (tmp_path / "home" / KEY_FILE).unlink()
    with pytest.raises(DatabaseError, match=r"study has [\d,]+ rows after loading and 77 were backed up"):
        restore_backup(fewer, progress=silent)
    assert rows_of(database) == {}
    assert not (tmp_path / "home" / KEY_FILE).exists()


def test_another_key_is_never_overwritten(backup: Path, database: str, tmp_path: Path) -> None:
    key = tmp_path / "home" / KEY_FILE
    key.unlink()
    make_key()
    other = key.read_bytes()
    with pytest.raises(ConfigError, match="another key than the backup's"):
        restore_backup(backup, progress=silent)
    assert (key.read_bytes(), rows_of(database)) == (other, {})


def test_tables_of_others_are_left_out_and_left_alone(
    archive: Archive, database: str, tmp_path: Path
) -> None:
    with archive.engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs AS SELECT 1 AS a"))
    make_backup(tmp_path / "b.zip", progress=silent)
    with archive.engine.begin() as connection:
        connection.execute(text("INSERT INTO theirs VALUES (2)"))
    archive.engine.dispose()
    restore_backup(tmp_path / "b.zip", replace=True, progress=silent)
    assert rows_of(database)["theirs"] == ["(1)", "(2)"]


def test_a_full_disk_leaves_no_half_backup(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot be written .*has room"):
            make_backup(tmp_path / "out" / "b.zip", progress=silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_programs_of_another_version_are_named(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTSEARCH_PG_BIN", str(tmp_path))
    with pytest.raises(DatabaseError, match=r"server is PostgreSQL 18 .*set CTSEARCH_PG_BIN to their folder"):
        make_backup(tmp_path / "b.zip", progress=silent)


def test_others_who_use_the_archive_are_waited_for_and_then_named(
    archive: Archive, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_backup(tmp_path / "b.zip", progress=silent)
    before = rows_of(database)
    monkeypatch.setattr("retrieval.restore._WAIT_FOR_OTHERS_S", 0.1)
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM study")
        with pytest.raises(DatabaseError, match=r"others are using the archive .*stop ctsearch serve"):
            restore_backup(tmp_path / "b.zip", replace=True, progress=silent)
    assert rows_of(database) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from retrieval.restore import restore_backup
def progress(step, done, total):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
restore_backup(Path(sys.argv[1]), replace=True, progress=progress)
"""


@pytest.mark.parametrize("step", ["checking the backup", "restoring the database", "checking what is there"])
def test_a_restore_that_is_killed_leaves_the_archive_of_before(
    archive: Archive, database: str, tmp_path: Path, step: str
) -> None:
    make_backup(tmp_path / "b.zip", progress=silent)
    fill(archive.engine, [study("later", findings="A nodule.")], collection="other")
    before, shape = rows_of(database), shape_of(database)
    archive.engine.dispose()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "b.zip"), step], check=False, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL
    assert (rows_of(database), shape_of(database)) == (before, shape)  # waits for the server to give up
    restore_backup(tmp_path / "b.zip", replace=True, progress=silent)
    assert "later" not in str(rows_of(database)["study"])


@pytest.fixture
def plain_role(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a database that an ordinary role owns, its extension made by the administrator."""
    name = f"clerk_{os.getpid()}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'a b'")
        connection.execute(f"CREATE DATABASE {name} OWNER {name}")
    with server.connect(dbname=name, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    port = urlsplit(server.state().address).port
    address = f"postgresql://{name}@127.0.0.1:{port}/{name}"
    (tmp_path / "password").write_text("a b\n")
    monkeypatch.setenv("CTSEARCH_DATABASE", address)
    monkeypatch.setenv("CTSEARCH_DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "home"))
    yield f"{address}?password=a%20b"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE {name}")


def test_a_role_without_rights_backs_up_and_restores_its_own_database(
    plain_role: str, tmp_path: Path
) -> None:
    engine = migrate.open_archive()
    fill(engine, [study("a", findings="A nodule.")], volumes={"a_1": [1, 0, 0, 0]})
    engine.dispose()
    before = rows_of(plain_role)
    make_backup(tmp_path / "b.zip", progress=silent)
    restore_backup(tmp_path / "b.zip", replace=True, progress=silent)
    assert rows_of(plain_role) == before


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("CTSEARCH_DATABASE", raising=False)
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "one"))
    yield tmp_path / "one"
    for name in ("one", "two"):
        EmbeddedServer(tmp_path / name).stop()


def test_an_embedded_archive_moves_to_another_home_by_the_command(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command
) -> None:
    engine = migrate.open_archive()
    fill(engine, [study("a", findings="A nodule.")], volumes={"a_1": np.eye(4)[0]})
    engine.dispose()
    make_key()
    uploaded = own_home / "uploads" / "abc" / "scan"
    uploaded.parent.mkdir(parents=True)
    uploaded.write_bytes(b"voxels")
    said = command("db", "backup", tmp_path / "b.zip", "--uploads", "--json")
    assert (said.code, {part["name"] for part in said.json["parts"]}) == (0, {DUMP, KEY, "uploads/abc/scan"})
    assert "dumping the database" in said.err

    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "two"))
    said = command("db", "restore", tmp_path / "b.zip")
    assert said.code == 0, said.err
    assert "restoring the database" in said.err
    assert "1 studies, schema" in said.out
    assert (tmp_path / "two" / "uploads" / "abc" / "scan").read_bytes() == b"voxels"
    again = open_engine()
    with again.connect() as connection:
        assert connection.execute(text("SELECT name FROM study")).scalars().all() == ["a"]
    again.dispose()
    refused = command("db", "restore", tmp_path / "b.zip")
    assert (refused.code, refused.err.strip().count("\n")) == (2, 1)  # a line of progress, a sentence


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    from tests.command import Command

    return Command(capsys, monkeypatch)
