"""HNSW indexes of a collection's latents, built on a real server beside readers and writers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import psycopg
import pytest
from sqlalchemy import Engine, text

from encoders.errors import DatabaseError, SearchError
from retrieval import migrate
from retrieval.latent_indexes import HnswState, build_hnsw, hnsw_name, hnsw_states
from retrieval.named_cases import LatentKind
from retrieval.records import CollectionInfo, EmbeddingRow
from retrieval.schema import partition_name
from retrieval.store import Store
from tests.small_archive import fill, study

DIM = 8
SCANS = 300


class Told:
    """Keeps what it is told of a build."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        self.steps.append(step)


@pytest.fixture
def collection(engine: Engine) -> CollectionInfo:
    """300 scans of one volume and one report each, their latents around the corners of a cube."""
    latents = clustered(2 * SCANS)
    cases = [study(f"S{number}", volumes=[f"V{number}"], findings="A nodule.") for number in range(SCANS)]
    return fill(
        engine,
        cases,
        volumes={f"V{number}": latents[number] for number in range(SCANS)},
        reports={f"S{number}": latents[SCANS + number] for number in range(SCANS)},
        dim=DIM,
    )


def clustered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], size=(count, DIM)) + 0.3 * rng.standard_normal((count, DIM))


def states(engine: Engine, info: CollectionInfo) -> dict[LatentKind, str]:
    with engine.connect() as connection:
        return {kind: state.state for kind, state in hnsw_states(connection, info).items()}


@contextmanager
def open_transaction(address: str, info: CollectionInfo) -> Iterator[psycopg.Connection]:
    """Another session that has written latents and does not end."""
    with psycopg.connect(address, application_name="a long report") as other:
        other.execute(f"UPDATE {partition_name(info.id)} SET content = 'other' WHERE volume_id = 1")
        yield other
        other.rollback()


def wait_until_building(connection: psycopg.Connection, build: threading.Thread) -> None:
    asked = "SELECT FROM pg_stat_progress_create_index WHERE current_locker_pid <> 0"
    while connection.execute(asked).fetchone() is None and build.is_alive():
        pass


def test_a_collection_has_no_index_until_one_is_built(engine: Engine, collection: CollectionInfo) -> None:
    assert states(engine, collection) == {"volume": "missing", "report": "missing"}
    built = build_hnsw(engine, collection, Told(), kinds=["report"])
    assert built["volume"] == HnswState(state="missing")
    assert built["report"].state == "ready"
    assert built["report"].size_bytes > 8192
    assert build_hnsw(engine, collection, Told())["volume"].state == "ready"
    assert states(engine, collection) == {"volume": "ready", "report": "ready"}


def test_an_index_that_is_ready_is_left_as_it_is(
    engine: Engine, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    asked = f"SELECT '{hnsw_name(collection.id, 'volume')}'::regclass::oid"
    build_hnsw(engine, collection, Told())
    first = connection.execute(asked).fetchone()
    build_hnsw(engine, collection, Told())
    assert connection.execute(asked).fetchone() == first


@pytest.mark.parametrize("kind", ["volume", "report"])
def test_the_planner_answers_the_nearest_latents_from_the_index(
    engine: Engine, collection: CollectionInfo, kind: LatentKind
) -> None:
    build_hnsw(engine, collection, Told())
    table, query = partition_name(collection.id), str(clustered(1, seed=1)[0].tolist())
    nearest = (
        f"SELECT {kind}_id FROM {table} WHERE {kind}_id IS NOT NULL "
        f"ORDER BY latent::halfvec({DIM}) <#> CAST(:query AS halfvec({DIM})) LIMIT 10"
    )
    exact = nearest.replace(f"::halfvec({DIM})", "").replace(f"halfvec({DIM})", "vector")
    with engine.begin() as session:
        session.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
        session.execute(text("SET LOCAL enable_seqscan = off"))  # 300 rows are too few to need an index
        session.execute(text("SET LOCAL enable_bitmapscan = off"))
        plan = "\n".join(session.execute(text(f"EXPLAIN {nearest}"), {"query": query}).scalars())
        found = session.execute(text(nearest), {"query": query}).scalars().all()
        truth = session.execute(text(exact), {"query": query}).scalars().all()
    assert f"Index Scan using {hnsw_name(collection.id, kind)}" in plan
    assert len(set(found) & set(truth)) >= 9


def test_what_a_killed_build_left_is_replaced(
    engine: Engine, collection: CollectionInfo, connection: psycopg.Connection, database: str
) -> None:
    name = hnsw_name(collection.id, "volume")
    begun = (
        f"CREATE INDEX CONCURRENTLY {name} ON {partition_name(collection.id)} "
        f"USING hnsw ((latent::halfvec({DIM})) halfvec_ip_ops) WHERE volume_id IS NOT NULL"
    )
    connection.execute("SET lock_timeout = 100")
    with open_transaction(database, collection), pytest.raises(psycopg.errors.LockNotAvailable):
        connection.execute(begun)
    assert states(engine, collection)["volume"] == "invalid"
    assert build_hnsw(engine, collection, Told())["volume"].state == "ready"


def test_a_long_transaction_elsewhere_ends_the_build_with_a_sentence_that_names_it(
    engine: Engine, collection: CollectionInfo, database: str
) -> None:
    with (
        open_transaction(database, collection) as other,
        pytest.raises(
            DatabaseError,
            match=r"HNSW index on the volume latents of 'default' waited 1.5 s for session "
            rf"{other.info.backend_pid} \(a long report\): end its transaction, then run "
            "ctsearch collections optimise default",
        ),
    ):
        build_hnsw(engine, collection, Told(), patience_s=1.5)
    assert states(engine, collection)["volume"] in ("missing", "invalid")
    assert build_hnsw(engine, collection, Told())["volume"].state == "ready"


def test_an_index_under_way_shows_as_building_and_whom_it_waits_for(
    engine: Engine, collection: CollectionInfo, connection: psycopg.Connection, database: str
) -> None:
    told = Told()
    build = threading.Thread(target=build_hnsw, args=(engine, collection, told), kwargs={"patience_s": 30})
    with open_transaction(database, collection):
        build.start()
        wait_until_building(connection, build)
        assert states(engine, collection)["volume"] == "building"
        other = build_hnsw(engine, collection, Told())  # a second builder leaves it to the first
        assert other["volume"].state == "building"
        while not told.steps and build.is_alive():
            pass
        assert "waiting for session" in told.steps[0]
        assert "(a long report)" in told.steps[0]
    build.join()
    assert states(engine, collection) == {"volume": "ready", "report": "ready"}


def test_builders_at_once_leave_one_index_a_kind(engine: Engine, collection: CollectionInfo) -> None:
    with ThreadPoolExecutor(4) as builders:
        started = [builders.submit(build_hnsw, engine, collection, Told()) for _ in range(4)]
        found = [each.result() for each in started]
    assert all(state.state != "invalid" for each in found for state in each.values())
    assert states(engine, collection) == {"volume": "ready", "report": "ready"}
    with engine.connect() as session:
        query = text("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%hnsw%'")
        assert session.execute(query).scalar_one() == 2


def test_an_index_built_beside_a_writer_has_every_row(engine: Engine, collection: CollectionInfo) -> None:
    store = Store(engine)
    latents = clustered(400, seed=2)
    written: list[int] = []
    ended = threading.Event()

    def write() -> None:
        for number, latent in enumerate(latents):
            case = study(f"new{number}", volumes=[f"new{number}_1"])
            saved = store.save_cases([case])
            row = EmbeddingRow(
                study_id=saved.study_id(case),
                volume_id=saved.volume_id(case, case.volumes[0]),
                content=b"new",
                latent=(latent / np.linalg.norm(latent)).astype(np.float32),
            )
            store.save_embeddings(collection, [row])
            written.append(row.volume_id)
            if ended.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    state = build_hnsw(engine, collection, Told(), kinds=["volume"])["volume"]
    ended.set()
    writer.join()
    assert state.state == "ready"
    table = partition_name(collection.id)
    query = (
        f"SELECT volume_id FROM {table} WHERE volume_id IS NOT NULL "
        f"ORDER BY latent::halfvec({DIM}) <#> (SELECT latent FROM {table} WHERE volume_id = :own)"
        f"::halfvec({DIM}) LIMIT 3"
    )
    with engine.begin() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL hnsw.ef_search = 200"))
        for own in written:
            assert own in session.execute(text(query), {"own": own}).scalars().all()


def test_a_dropped_collection_takes_its_indexes_along(
    engine: Engine, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    build_hnsw(engine, collection, Told())
    Store(engine).drop_collection("default")
    assert connection.execute("SELECT FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchone() is None
    assert states(engine, collection) == {"volume": "missing", "report": "missing"}
    with pytest.raises(SearchError, match="'default' was dropped while its volume latents were indexed"):
        build_hnsw(engine, collection, Told())


def test_migrations_do_not_mind_the_indexes(engine: Engine, collection: CollectionInfo) -> None:
    build_hnsw(engine, collection, Told())
    migrate.check(engine)
