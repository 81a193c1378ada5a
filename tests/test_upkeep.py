"""What a collection gets after a bulk load: statistics, a visibility map, indexes; and never a failed run."""

from pathlib import Path

import numpy as np
import psycopg
import pytest
from sqlalchemy import Engine

from retrieval.latent_indexes import BUILD_LOCK, hnsw_states
from retrieval.named_cases import LatentKind
from retrieval.records import CollectionInfo
from retrieval.schema import partition_name
from retrieval.snapshots import FAISS_FROM_ROWS, Snapshots
from retrieval.upkeep import HNSW_FROM_ROWS, tend_collection, vacuum
from tests.command import Command
from tests.small_archive import fill, study
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.test_latent_indexes import Told
from tests.tiny_model import write_tiny_model


def load(engine: Engine, volumes: int) -> CollectionInfo:
    """Store one study of many volumes, each with a latent."""
    latents = np.random.default_rng(0).standard_normal((volumes, 4))
    names = [f"V{number}" for number in range(volumes)]
    case = study("S", volumes=names, findings="A nodule.")
    return fill(engine, [case], volumes=dict(zip(names, latents, strict=True)), reports={"S": [1.0, 0, 0, 0]})


def index_states(engine: Engine, info: CollectionInfo) -> dict[LatentKind, str]:
    with engine.connect() as connection:
        return {kind: state.state for kind, state in hnsw_states(connection, info).items()}


def snapshot_of(engine: Engine, info: CollectionInfo) -> tuple[str | None, int, int]:
    """The snapshot's kind, its rows, and how many it lacks."""
    with engine.connect() as connection:
        state = Snapshots(engine).state(connection, info)
    return state.kind, state.count, state.behind


def known_pages(connection: psycopg.Connection, table: str) -> tuple[int, int, float]:
    """Pages, those that the visibility map knows, and rows by statistics."""
    row = connection.execute(
        "SELECT pg_relation_size(oid) / 8192, relallvisible, reltuples FROM pg_class WHERE relname = %s",
        [table],
    ).fetchone()
    assert row is not None
    return row


def test_a_loaded_collection_is_vacuumed_and_counted(engine: Engine, connection: psycopg.Connection) -> None:
    info = load(engine, 500)
    assert tend_collection(engine, info, Told()) == []
    for table, rows in ((partition_name(info.id), 501), ("volume", 500), ("report", 1)):
        pages, visible, counted = known_pages(connection, table)
        assert (visible, counted) == (pages, rows)


def test_what_has_not_changed_is_not_vacuumed_again(engine: Engine) -> None:
    info = load(engine, 500)
    first = vacuum(engine, info, Told())
    assert {partition_name(info.id), "patient", "study", "volume", "report", "report_sentence"} <= set(first)
    assert vacuum(engine, info, Told()) == []


def test_an_index_is_built_from_as_many_rows_as_are_worth_it(engine: Engine) -> None:
    info = load(engine, HNSW_FROM_ROWS - 1)
    tend_collection(engine, info, Told())
    assert index_states(engine, info) == {"volume": "missing", "report": "missing"}
    names = [f"W{number}" for number in range(2)]
    fill(engine, [study("T", volumes=names)], volumes={name: [1, 0, 0, 0] for name in names})
    assert tend_collection(engine, info, Told()) == []
    assert index_states(engine, info) == {"volume": "ready", "report": "missing"}


def test_what_cannot_be_done_is_said_and_nothing_is_raised(
    engine: Engine, connection: psycopg.Connection
) -> None:
    info = load(engine, HNSW_FROM_ROWS)
    connection.execute(f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = on")
    engine.dispose()
    *_, undone = tend_collection(engine, info, Told())
    assert undone.startswith("default has no complete HNSW index: the database may only be read ")


def test_an_index_that_another_process_builds_is_left_to_it_and_said(
    engine: Engine, connection: psycopg.Connection
) -> None:
    info = load(engine, HNSW_FROM_ROWS)
    connection.execute("SELECT pg_advisory_lock(%s, %s)", [BUILD_LOCK, info.id])
    [said] = tend_collection(engine, info, Told())
    assert said.startswith("another process is building the HNSW index of default")
    connection.close()


def test_a_snapshot_is_built_and_renewed_when_it_lacks_too_many_rows(engine: Engine) -> None:
    info = load(engine, FAISS_FROM_ROWS)
    tend_collection(engine, info, Told())
    assert snapshot_of(engine, info) == ("flat", FAISS_FROM_ROWS + 1, 0)
    fill(engine, [study("T")], volumes={"T_1": [1, 0, 0, 0], "T_2": [0, 1, 0, 0]})
    tend_collection(engine, info, Told(), behind_share=0.01)
    assert snapshot_of(engine, info) == ("flat", FAISS_FROM_ROWS + 1, 2)
    tend_collection(engine, info, Told())
    assert snapshot_of(engine, info) == ("flat", FAISS_FROM_ROWS + 3, 0)


def test_a_small_collection_gets_a_snapshot_only_where_it_is_asked_for(engine: Engine) -> None:
    info = load(engine, 3)
    tend_collection(engine, info, Told())
    assert snapshot_of(engine, info) == (None, 0, 0)
    tend_collection(engine, info, Told(), faiss="pq-refine")
    assert snapshot_of(engine, info) == ("pq-refine", 4, 0)


@pytest.fixture
def ctsearch(database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


def test_an_index_run_leaves_its_tables_vacuumed(
    ctsearch: Command, tmp_path: Path, connection: psycopg.Connection
) -> None:
    write_tiny_model(tmp_path / "tiny")
    (tmp_path / "scans").mkdir()
    write_nifti(tmp_path / "scans" / "one.nii.gz", as_xyz(chest_hu()))
    done = ctsearch("index", tmp_path / "scans", "--encoder", tmp_path / "tiny", "--anonymous", "--json")
    assert done.json["indexed"] == 1
    pages, visible, counted = known_pages(connection, partition_name(1))
    assert (pages, visible, counted) == (1, 1, 1)


def test_a_collection_is_optimised_at_will(ctsearch: Command, engine: Engine) -> None:
    info = load(engine, HNSW_FROM_ROWS)
    done = ctsearch("collections", "optimise", "default", "--faiss", "hnsw")
    assert done.code == 0
    assert snapshot_of(engine, info) == ("hnsw", HNSW_FROM_ROWS + 1, 0)
    assert index_states(engine, info) == {"volume": "ready", "report": "missing"}
    refused = ctsearch("collections", "optimise", "defualt")
    assert refused.code == 2
    assert "did you mean 'default'?" in refused.err
