"""Migrations on a real server: up, down, again, and against newer and older databases."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from encoders.errors import DatabaseError
from retrieval import migrate
from retrieval.postgres import open_engine
from retrieval.schema import REVISION, Base
from tests.small_archive import fill, study

CHECKOUT = Path(__file__).resolve().parents[1]


def relations(address: str) -> set[str]:
    with psycopg.connect(address) as connection:
        rows = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return {name for (name,) in rows}


def functions(address: str) -> int:
    with psycopg.connect(address) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchone()
        return row[0] if row else -1


def test_an_empty_database_gets_every_table_of_the_schema(empty_database: str) -> None:
    state = migrate.upgrade(open_engine())
    assert state.revision == state.newest
    assert set(Base.metadata.tables) <= relations(empty_database)


def test_the_schema_names_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(CHECKOUT / "migrations"))
    assert scripts.get_heads() == [REVISION]


def test_upgrading_twice_changes_nothing(empty_database: str) -> None:
    migrate.upgrade(open_engine())
    before = relations(empty_database)
    migrate.upgrade(open_engine())
    assert relations(empty_database) == before


def test_the_migrations_make_what_the_schema_says(engine: Engine) -> None:
    migrate.check(engine)


def test_a_check_is_clean_after_a_collection_made_its_partition_and_index(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE embedding_7 (LIKE embedding INCLUDING ALL)"))
        connection.execute(text("ALTER TABLE embedding ATTACH PARTITION embedding_7 FOR VALUES IN (7)"))
        connection.execute(
            text("CREATE INDEX ON embedding_7 USING hnsw ((latent::halfvec(8)) halfvec_ip_ops)")
        )
    migrate.check(engine)


def test_going_down_to_base_leaves_an_empty_schema(empty_database: str) -> None:
    engine = open_engine()
    migrate.upgrade(engine)
    migrate.downgrade(engine)
    assert relations(empty_database) == set()
    assert functions(empty_database) == 0  # nor the extension


def test_a_database_can_go_down_and_up_again(empty_database: str) -> None:
    engine = open_engine()
    migrate.upgrade(engine)
    migrate.downgrade(engine)
    migrate.upgrade(engine)
    migrate.check(engine)


def test_the_latent_is_stored_in_the_row(connection: psycopg.Connection) -> None:
    row = connection.execute(
        "SELECT attstorage FROM pg_attribute WHERE attrelid = 'embedding'::regclass AND attname = 'latent'"
    ).fetchone()
    assert row == ("p",)


def test_an_archive_of_a_newer_ctsearch_is_refused_and_left_as_it_is(
    engine: Engine, connection: psycopg.Connection
) -> None:
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match=r"newer ctsearch \(schema 9999.*install that version"):
        migrate.upgrade(engine)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_processes_that_upgrade_at_once_leave_one_schema(empty_database: str) -> None:
    command = [sys.executable, "-c", "from retrieval.migrate import open_archive; open_archive()"]
    running = [
        subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(3)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    migrate.check(open_engine())


def test_a_developer_can_run_alembic_from_the_checkout(database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alembic_without_an_address_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTSEARCH_DATABASE", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode != 0
    assert "set CTSEARCH_DATABASE" in done.stdout + done.stderr


def test_reports_stored_before_text_search_are_split_again_by_the_upgrade(database: str) -> None:
    engine = open_engine()
    fill(engine, [study("a", findings="A nodule. No effusion.", impression="Cyst?")])
    migrate.downgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(text("UPDATE report_sentence SET negated = false"))
    migrate.upgrade(engine)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT affirmed, hedged, denied, negated FROM report_sentence ORDER BY section, ordinal")
        )
        assert [tuple(row) for row in rows] == [
            ("a nodule", "", "", False),
            ("", "", "no effusion", True),
            ("", "cyst", "", False),
        ]
    again = fill(engine, [study("a", findings="A nodule. No effusion.", impression="Cyst?")])
    assert again.name == "default"
    migrate.check(engine)


def test_labels_stored_a_row_a_finding_become_bits_and_go_back(database: str) -> None:
    engine = open_engine()
    one = study("a", labels={"Medical material": True, "Emphysema": False, "Lung nodule": True})
    other = replace(one, labels={"Emphysema": True, "Bronchiectasis": True}, label_source="extractor")
    fill(engine, [one, other, study("b")])
    migrate.downgrade(engine, "0003")
    rows = "SELECT abnormality, source, present, effective FROM label ORDER BY 1, 2"
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(text(rows))] == [
            ("Bronchiectasis", "extractor", True, True),
            ("Emphysema", "extractor", True, False),
            ("Emphysema", "manual", False, True),
            ("Lung nodule", "manual", True, True),
            ("Medical material", "manual", True, True),
        ]
    migrate.upgrade(engine)
    with engine.connect() as connection:
        bits = connection.execute(text("SELECT known, present, extractor_present FROM label")).all()
    medical, emphysema, nodule, bronchiectasis = 1, 1 << 7, 1 << 9, 1 << 16
    everything = medical | emphysema | nodule | bronchiectasis
    assert [tuple(row) for row in bits] == [(everything, everything & ~emphysema, emphysema | bronchiectasis)]
    migrate.check(engine)
