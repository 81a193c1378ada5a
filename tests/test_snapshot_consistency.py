"""A snapshot beside a database that goes on: what it lacks is found, what is gone is not."""

import numpy as np
import pytest
from sqlalchemy import Engine, text

from retrieval import store_embeddings, store_removal
from retrieval.engines import nearest_in_snapshot
from retrieval.filters import Filters
from retrieval.neighbours import Gallery
from retrieval.planner import nearest
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.snapshots import Snapshots
from retrieval.store import Store
from tests.small_archive import fill, study, unit
from tests.snapshot_archive import DIM, Archive, made, query


@pytest.fixture
def archive(engine: Engine) -> Archive:
    """Thirty studies of two volumes, and a snapshot of their sixty latents and thirty reports'."""
    archive = made(engine)
    Snapshots(engine).build(archive.info)
    return archive


def test_a_lower_transaction_that_commits_after_the_snapshot_of_a_higher_one_is_found(archive) -> None:
    first, second = study("late"), study("early")
    Store(archive.engine).save_cases([first, second])
    late, early = query(1), query(2)
    with archive.engine.begin() as slow:
        lower = slow.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
        store_embeddings.save_embeddings(slow, archive.info, [archive.row("late_1", late)])
        with archive.engine.begin() as quick:
            higher = quick.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
            store_embeddings.save_embeddings(quick, archive.info, [archive.row("early_1", early)])
        built = Snapshots(archive.engine).build(archive.info)
    assert lower < higher
    ids = built.parts["volume"].item_id_N
    assert archive.ids("early_1")[1] in ids
    assert archive.ids("late_1")[1] not in ids
    archive.latents |= {"late_1": late, "early_1": early}
    for asked in (late, early, query()):
        archive.finds(asked)


def test_an_older_latent_is_never_answered_from(archive) -> None:
    old, new = archive.latents["s07_1"], unit(-archive.latents["s07_1"])
    Store(archive.engine).save_embeddings(archive.info, [archive.row("s07_1", new)])
    archive.latents["s07_1"] = new
    archive.finds(old)
    archive.finds(new)
    [answer] = CaseSearch(archive.engine).search_by_latents(new, SearchOptions(k=1, engine="faiss"))
    assert answer.hits[0].volume == "s07_1"
    assert any("newer ones by pgvector" in line for line in answer.explanation)


def test_what_was_deleted_since_is_not_found_and_its_place_is_taken(archive) -> None:
    gone = archive.latents["s07_1"]
    with archive.engine.begin() as connection:  # beneath the service, which would delete the snapshot
        store_removal.remove_study(connection, "s07", "test")
    archive.latents = {name: one for name, one in archive.latents.items() if not name.startswith("s07")}
    archive.finds(gone)


def test_what_is_said_of_a_case_since_the_snapshot_decides_whether_it_matches(archive) -> None:
    asked = archive.latents["s07_1"]

    def found(**options) -> list[tuple[str, str | None]]:
        wanted = SearchOptions(unit="volume", engine="faiss", **options)
        [answer] = CaseSearch(archive.engine).search_by_latents(asked, wanted)
        assert answer.engine == "faiss"
        return [(hit.study, hit.volume) for hit in answer.hits]

    emphysema = Filters(labels=("Emphysema",))
    assert found(filters=emphysema) == []
    Store(archive.engine).save_cases([study("s07", labels={"Emphysema": True})])
    assert found(filters=emphysema)[0] == ("s07", "s07_1")
    assert {name for name, _ in found(filters=emphysema)} == {"s07"}
    Store(archive.engine).save_cases([study("moved", volumes=("s07_1",))])  # it was another scan's
    assert found(k=1) == [("moved", "s07_1")]
    assert found(filters=emphysema) == [("s07", "s07_2")]


def test_hits_are_found_however_much_of_what_is_nearest_was_deleted(engine: Engine) -> None:
    """More rows than are proposed at first lie nearest, and all of them are gone."""
    near = [unit([1, 0.001 * number, 0, 0]) for number in range(300)]
    latents = {f"near_{number}": one for number, one in enumerate(near)} | {"far_1": unit([0, 1, 0, 0])}
    cases = [study("near", volumes=[name for name in latents if name != "far_1"]), study("far")]
    archive = Archive(engine, fill(engine, cases, volumes=latents), {"far_1": latents["far_1"]})
    Snapshots(engine).build(archive.info)
    with engine.begin() as connection:
        store_removal.remove_study(connection, "near", "test")
    archive.finds(unit([1, 0, 0, 0]))


def test_a_snapshot_that_is_newer_than_the_transaction_is_not_used(archive) -> None:
    """The transaction still sees a study whose latents the snapshot no longer holds."""
    asked = archive.latents["s07_1"]
    gallery = Gallery(collection_id=archive.info.id, filters=Filters(), unit="volume")
    with archive.engine.connect() as opened:
        connection = opened.execution_options(isolation_level="REPEATABLE READ")
        connection.execute(text("SELECT count(*) FROM embedding"))  # its snapshot is taken here
        with archive.engine.begin() as other:
            store_removal.remove_study(other, "s07", "test")
        newer = Snapshots(archive.engine).build(archive.info)
        [lost] = nearest_in_snapshot(connection, [gallery], "volume", asked[None], 1, newer, has_newer=False)
        assert lost.neighbours[0].volume != "s07_1"  # what would be answered
        [ranking] = nearest(connection, [gallery], "volume", asked[None], 1, choice="auto", snapshot=newer)
    assert (ranking.engine, ranking.neighbours[0].volume) == ("pgvector", "s07_1")


def test_a_query_that_is_no_unit_vector_is_ranked_exactly(engine: Engine) -> None:
    """Rounding grows with the query: more rows are confirmed before the last hit is believed."""
    rng = np.random.default_rng(4)
    centre = unit(rng.normal(size=DIM))
    latents = {f"v{number}": unit(centre + 3e-4 * rng.normal(size=DIM)) for number in range(400)}
    fill(engine, [study("s", volumes=list(latents))], volumes=latents, dim=DIM)
    service = CaseSearch(engine)
    for length in (1, 30_000):
        found = [
            service.search_by_latents(
                length * centre, SearchOptions(k=20, unit="volume", exclude="none", engine=name)
            )[0].hits
            for name in ("faiss", "pgvector")
        ]
        assert [hit.volume for hit in found[0]] == [hit.volume for hit in found[1]]
