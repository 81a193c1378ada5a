"""Collections on a real server: latents in, out, and beside each other; runs."""

from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from encoders.errors import ConfigError, InputError, SearchError, StorageError
from retrieval.cases import Report
from retrieval.schema import partition_name
from retrieval.store import CollectionInfo, EmbeddingRow, Store
from tests.stored import DIM, OTHER_UNIT, UNIT, case, count, make_collection

# Collections and latents


def test_a_collection_belongs_to_one_encoder_and_one_preprocessing(store: Store) -> None:
    made = make_collection(store, "chest")
    assert make_collection(store, "chest") == made
    others: dict[str, Any] = {"encoder_digest": "f" * 64, "preprocessing_digest": "q" * 64, "latent_dim": 8}
    for field, value in others.items():
        same: dict[str, Any] = {
            "encoder_digest": "e" * 64,
            "preprocessing_digest": "p" * 64,
            "latent_dim": DIM,
        }
        with pytest.raises(SearchError, match="name another one with --collection"):
            store.ensure_collection("chest", encoder="other", **(same | {field: value}))


@pytest.mark.parametrize("name", ["", "a b", "../up", ".hidden", "-k", "x" * 64, "a;DROP TABLE volume", "é"])
def test_a_name_that_cannot_be_a_files_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a collection"):
        make_collection(store, name)


@pytest.mark.parametrize("dim", [0, 2001])
def test_a_dimension_that_cannot_be_indexed_is_refused(store: Store, dim: int) -> None:
    with pytest.raises(ConfigError, match=rf"latents of {dim} numbers"):
        make_collection(store, "chest", dim=dim)


def test_the_longest_latent_fits_its_row(store: Store) -> None:
    wide = make_collection(store, "wide", dim=2000)
    saved = store.save_cases([case("S1", volumes=["V1"])])
    latent = np.zeros(2000, np.float32)
    latent[-1] = -1
    row = EmbeddingRow(
        study_id=saved.studies["folder", "S1"],
        volume_id=saved.volumes["folder", "V1"],
        content=b"c" * 64,
        latent=latent,
    )
    store.save_embeddings(wide, [row])
    assert store.known_volume_content(wide, list(saved.volumes.values())) == {row.volume_id: b"c" * 64}


def test_an_unknown_collection_names_the_nearest(store: Store, collection: CollectionInfo) -> None:
    with pytest.raises(SearchError, match=r"there is no collection 'chst': did you mean 'chest'\?"):
        store.collection("chst")


def test_the_database_itself_refuses_a_latent_of_another_dimension(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    saved = store.save_cases([case("S1", volumes=["V1"])])
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO embedding (collection_id, study_id, volume_id, content, latent) "
            "VALUES (%s, %s, %s, '', %s)",
            (collection.id, saved.studies["folder", "S1"], saved.volumes["folder", "V1"], "[1,0]"),
        )


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        (np.array([1.0], np.float32), r"shape \(1,\), 'chest' takes 4 numbers"),
        (np.array([np.nan, 0, 0, 0], np.float32), "length nan and not 1"),
        (np.array([2.0, 0, 0, 0], np.float32), "length 2 and not 1"),
        (np.zeros(DIM, np.float32), "length 0 and not 1"),
    ],
)
def test_a_latent_that_cannot_be_compared_is_refused(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection, latent: np.ndarray, message: str
) -> None:
    saved = store.save_cases([case("S1", volumes=["V1", "V2"])])
    study = saved.studies["folder", "S1"]
    good, bad = saved.volumes["folder", "V1"], saved.volumes["folder", "V2"]
    rows = [
        EmbeddingRow(study_id=study, volume_id=good, content=b"c", latent=UNIT),
        EmbeddingRow(study_id=study, volume_id=bad, content=b"c", latent=latent),
    ]
    with pytest.raises(InputError, match=message):
        store.save_embeddings(collection, rows)
    assert count(connection, "embedding") == 0


def test_a_latent_of_no_item_or_of_two_is_refused(store: Store, collection: CollectionInfo) -> None:
    with pytest.raises(InputError, match="of one volume or of one report"):
        store.save_embeddings(collection, [EmbeddingRow(study_id=1, content=b"c", latent=UNIT)])
    with pytest.raises(InputError, match="of one volume or of one report"):
        store.save_embeddings(
            collection, [EmbeddingRow(study_id=1, volume_id=1, report_id=1, content=b"c", latent=UNIT)]
        )


def test_a_latent_written_again_replaces_the_first(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    saved = store.save_cases([case("S1", volumes=["V1"], reports=(Report(name="R1", findings="Nodule."),))])
    study = saved.studies["folder", "S1"]
    volume, report = saved.volumes["folder", "V1"], saved.reports["folder", "S1", "R1"]
    first = [
        EmbeddingRow(study_id=study, volume_id=volume, content=b"old", latent=UNIT),
        EmbeddingRow(study_id=study, report_id=report, content=b"text", latent=UNIT),
    ]
    store.save_embeddings(collection, first)
    store.save_embeddings(
        collection, [EmbeddingRow(study_id=study, volume_id=volume, content=b"new", latent=OTHER_UNIT)]
    )
    assert store.known_volume_content(collection, [volume]) == {volume: b"new"}
    assert store.known_report_content(collection, [report]) == {report: b"text"}
    row = connection.execute("SELECT latent::text FROM embedding WHERE volume_id = %s", (volume,)).fetchone()
    assert row == ("[0,1,0,0]",)


def test_a_latent_of_a_volume_that_was_removed_meanwhile_is_passed_over(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    saved = store.save_cases([case("S1", volumes=["V1"]), case("S2", patient="P2", volumes=["V2"])])
    rows = [
        EmbeddingRow(study_id=saved.studies["folder", study], volume_id=volume, content=b"c", latent=UNIT)
        for study, volume in (("S1", saved.volumes["folder", "V1"]), ("S2", saved.volumes["folder", "V2"]))
    ]
    store.remove_study("S2")
    store.save_embeddings(collection, rows)
    assert count(connection, "embedding") == 1


def test_writing_to_a_collection_that_was_dropped_is_one_sentence(
    store: Store, collection: CollectionInfo
) -> None:
    saved = store.save_cases([case("S1", volumes=["V1"])])
    store.drop_collection("chest")
    row = EmbeddingRow(
        study_id=saved.studies["folder", "S1"],
        volume_id=saved.volumes["folder", "V1"],
        content=b"c",
        latent=UNIT,
    )
    with pytest.raises(SearchError, match="'chest' was dropped"):
        store.save_embeddings(collection, [row])


def test_a_report_whose_text_was_taken_back_loses_its_latent(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    saved = store.save_cases([case("S1", reports=(Report(name="R1", findings="Nodule."),))])
    report = saved.reports["folder", "S1", "R1"]
    store.save_embeddings(
        collection,
        [EmbeddingRow(study_id=saved.studies["folder", "S1"], report_id=report, content=b"c", latent=UNIT)],
    )
    store.save_cases([case("S1", reports=(Report(name="R1"),))])
    assert count(connection, "embedding") == 0


def test_collections_of_two_dimensions_live_side_by_side_and_drop_alone(
    store: Store, connection: psycopg.Connection
) -> None:
    small, large = make_collection(store, "small"), make_collection(store, "large", dim=8)
    saved = store.save_cases([case("S1", volumes=["V1", "V2"])])
    study = saved.studies["folder", "S1"]
    first, second = saved.volumes.values()
    store.save_embeddings(small, [EmbeddingRow(study_id=study, volume_id=first, content=b"c", latent=UNIT)])
    both = [
        EmbeddingRow(study_id=study, volume_id=volume, content=b"c", latent=np.eye(8, dtype=np.float32)[0])
        for volume in (first, second)
    ]
    store.save_embeddings(large, both)
    counted = {info.name: (info.volumes, info.reports, info.studies) for info in store.collections()}
    assert counted == {"large": (2, 0, 1), "small": (1, 0, 1)}
    store.drop_collection("small")
    assert [info.name for info in store.collections()] == ["large"]
    assert connection.execute("SELECT to_regclass(%s)", (partition_name(small.id),)).fetchone() == (None,)
    assert count(connection, "volume") == 2


# Export


def test_an_export_holds_a_row_a_volume_with_the_report_of_its_study(
    store: Store, collection: CollectionInfo, tmp_path: Path
) -> None:
    told = case("S1", volumes=["V1", "V2"], reports=(Report(name="R1", findings="Nodule."),))
    untold = case("S2", patient="P2", volumes=["V3", "V4"])  # V4 has no latent
    saved = store.save_cases([untold, told])
    study, other = saved.studies["folder", "S1"], saved.studies["folder", "S2"]
    volumes = {name: saved.volumes["folder", name] for name in ("V1", "V2", "V3")}
    eye = np.eye(DIM, dtype=np.float32)
    store.save_embeddings(
        collection,
        [
            EmbeddingRow(study_id=other, volume_id=volumes["V3"], content=b"3", latent=eye[2]),
            EmbeddingRow(study_id=study, volume_id=volumes["V2"], content=b"2", latent=eye[1]),
            EmbeddingRow(study_id=study, volume_id=volumes["V1"], content=b"1", latent=eye[0]),
            EmbeddingRow(
                study_id=study, report_id=saved.reports["folder", "S1", "R1"], content=b"r", latent=UNIT
            ),
        ],
    )
    path = tmp_path / "latents.npz"
    assert store.export_collection("chest", path) == 3
    with np.load(path, allow_pickle=False) as file:
        assert file["name"].tolist() == ["V1", "V2", "V3"]
        assert file["study"].tolist() == ["S1", "S1", "S2"]
        assert file["patient"].tolist() == ["P1", "P1", "P2"]
        assert file["volume"].dtype == np.float32
        np.testing.assert_array_equal(file["volume"], eye[:3])
        np.testing.assert_array_equal(file["report"], [UNIT, UNIT, np.zeros(DIM)])
        assert file["has_report"].tolist() == [True, True, False]


def test_an_export_of_reports_alone_says_that_there_is_nothing(
    store: Store, collection: CollectionInfo, tmp_path: Path
) -> None:
    with pytest.raises(SearchError, match="no latent of a volume"):
        store.export_collection("chest", tmp_path / "latents.npz")
    assert list(tmp_path.glob("*.npz")) == []


def test_an_export_that_cannot_be_written_leaves_nothing(
    store: Store, collection: CollectionInfo, tmp_path: Path
) -> None:
    saved = store.save_cases([case("S1", volumes=["V1"])])
    row = EmbeddingRow(
        study_id=saved.studies["folder", "S1"],
        volume_id=saved.volumes["folder", "V1"],
        content=b"c",
        latent=UNIT,
    )
    store.save_embeddings(collection, [row])
    with pytest.raises(StorageError, match=r"cannot be written \(No such file or directory\)"):
        store.export_collection("chest", tmp_path / "missing" / "latents.npz")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        store.export_collection("chest", tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# Runs


def test_a_failure_counts_its_attempts_until_the_item_succeeds(
    store: Store, collection: CollectionInfo
) -> None:
    with store.attended_run(collection) as first:
        store.record_failure(first, item="/a/V1.nii.gz", content=b"1", error="truncated")
    with store.attended_run(collection) as second:
        store.record_failure(second, item="/a/V1.nii.gz", content=b"2", error="still truncated")
    failure = store.failures(collection)["/a/V1.nii.gz"]
    assert (failure.attempts, failure.content, failure.error, failure.run_id) == (
        2,
        b"2",
        "still truncated",
        second,
    )
    assert store.failures(collection, run_id=first) == {}
    store.clear_failure(collection, "/a/V1.nii.gz")
    assert store.failures(collection) == {}


def test_a_run_keeps_what_it_did(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    with store.attended_run(collection) as run:
        assert connection.execute("SELECT state, finished_at FROM index_run").fetchone() == ("running", None)
        store.finish_run(run, state="finished", counts={"indexed": 3}, removed={"names": 2})
    row = connection.execute(
        "SELECT state, counts, removed, finished_at > started_at FROM index_run"
    ).fetchone()
    assert row == ("finished", {"indexed": 3}, {"names": 2}, True)
