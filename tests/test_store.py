"""The store on a real server: identity, change, removal, and two writers at once."""

import multiprocessing
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine

from encoders.errors import ConfigError, DatasetError, InputError, SearchError, StorageError
from retrieval.cases import Acquisition, Case, Report, Volume
from retrieval.postgres import open_engine
from retrieval.schema import Base, partition_name
from retrieval.store import CollectionInfo, EmbeddingRow, FileRow, Store

DIM = 4
UNIT = np.array([0.6, 0.0, 0.8, 0.0], np.float32)
OTHER_UNIT = np.array([0.0, 1.0, 0.0, 0.0], np.float32)


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


@pytest.fixture
def collection(store: Store) -> CollectionInfo:
    return make_collection(store, "chest")


def make_collection(store: Store, name: str, *, dim: int = DIM) -> CollectionInfo:
    return store.ensure_collection(
        name, encoder="tiny", encoder_digest="e" * 64, preprocessing_digest="p" * 64, latent_dim=dim
    )


def case(study: str, *, patient: str = "P1", volumes: Sequence[str] = (), **fields) -> Case:
    named = tuple(Volume(name=name) for name in volumes)
    return Case(**({"dataset": "folder", "patient": patient, "study": study, "volumes": named} | fields))


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    return int(row[0]) if row else -1


def everything(connection: psycopg.Connection) -> dict[str, int]:
    return {table: count(connection, table) for table in Base.metadata.tables}


# Identity and change


def test_the_same_cases_again_change_nothing(store: Store, connection: psycopg.Connection) -> None:
    scan = case(
        "S1",
        volumes=["V1", "V2"],
        reports=(Report(name="R1", findings="A nodule. No effusion.", impression="Nodule."),),
        labels={"Lung nodule": True, "Pleural effusion": False},
    )
    first = store.save_cases([scan])
    rows = everything(connection)
    versions = connection.execute(
        "SELECT xmin::text FROM volume UNION ALL SELECT xmin::text FROM report"
    ).fetchall()
    second = store.save_cases([scan])
    assert everything(connection) == rows
    assert (second.volumes, second.reports, second.studies) == (first.volumes, first.reports, first.studies)
    assert first.new_volumes == set(first.volumes.values())
    written = (second.new_volumes, second.changed_volumes, second.new_reports, second.changed_reports)
    assert written == (frozenset(),) * 4
    assert not second.is_changed(scan)
    again = connection.execute(
        "SELECT xmin::text FROM volume UNION ALL SELECT xmin::text FROM report"
    ).fetchall()
    assert again == versions  # not even a row was rewritten


def test_equal_report_text_of_two_patients_is_two_reports(
    store: Store, connection: psycopg.Connection
) -> None:
    text = Report(name="report", findings="Normal chest.")
    saved = store.save_cases(
        [case("S1", patient="P1", reports=(text,)), case("S2", patient="P2", reports=(text,))]
    )
    assert len(set(saved.reports.values())) == 2
    assert count(connection, "report") == 2


def test_a_changed_report_updates_its_row_and_replaces_its_sentences(
    store: Store, connection: psycopg.Connection
) -> None:
    before = case("S1", reports=(Report(name="R1", findings="A nodule. No effusion. Clear airways."),))
    after = case("S1", reports=(Report(name="R1", findings="No nodule."),))
    first = store.save_cases([before])
    second = store.save_cases([after])
    assert second.reports == first.reports
    assert second.changed_reports == set(second.reports.values())
    assert second.is_changed(after)
    rows = connection.execute("SELECT section, ordinal, text, negated FROM report_sentence").fetchall()
    assert rows == [("findings", 1, "No nodule.", True)]


def test_text_that_moves_to_another_section_is_a_change(store: Store) -> None:
    store.save_cases([case("S1", reports=(Report(name="R1", findings="Nodule."),))])
    saved = store.save_cases([case("S1", reports=(Report(name="R1", impression="Nodule."),))])
    assert saved.changed_reports


def test_labels_that_vanish_from_their_source_are_deleted_and_other_sources_stay(
    store: Store, connection: psycopg.Connection
) -> None:
    store.save_cases(
        [
            case("S1", labels={"Emphysema": True, "Lung nodule": False}),
            case("S1", labels={"Emphysema": False}, label_source="extractor"),
        ]
    )
    changed = case("S1", labels={"Lung nodule": True})
    saved = store.save_cases([changed])
    emphysema, nodule = 1 << 7, 1 << 9  # the eighth and the tenth of CT-RATE's findings
    rows = connection.execute(
        "SELECT manual_known, manual_present, extractor_known, extractor_present, known, present FROM label"
    ).fetchall()
    assert rows == [(nodule, nodule, emphysema, 0, nodule | emphysema, nodule)]
    assert saved.is_changed(changed)


def test_a_case_that_says_nothing_of_labels_or_patient_keeps_what_is_known(
    store: Store, connection: psycopg.Connection
) -> None:
    known = Volume(name="V1", acquisition=Acquisition(sex="F", age_years=61.0, other={"Dose": "low"}))
    store.save_cases([case("S1", split="valid", day=3, labels={"Emphysema": True}, volumes=())])
    store.save_cases([replace(case("S1"), volumes=(known,))])
    saved = store.save_cases([case("S1", volumes=["V1"])])
    row = connection.execute(
        "SELECT sex, age_years, other, split, day FROM volume JOIN study ON true"
    ).fetchone()
    assert row == ("F", 61.0, {"Dose": "low"}, "valid", 3)
    assert count(connection, "label") == 1
    assert not saved.changed_volumes


def test_changed_metadata_updates_the_row(store: Store, connection: psycopg.Connection) -> None:
    def scan(age: float | None) -> Case:
        return replace(
            case("S1"), volumes=(Volume(name="V1", acquisition=Acquisition(sex="M", age_years=age)),)
        )

    first = store.save_cases([scan(40.0)])
    second = store.save_cases([scan(float("nan"))])  # a table's empty cell: unknown, never NaN in a filter
    assert second.volumes == first.volumes
    assert second.changed_volumes == set(first.volumes.values())
    assert connection.execute("SELECT sex, age_years FROM volume").fetchone() == ("M", None)


def test_a_study_that_turns_out_to_be_another_patients_takes_its_volumes_along(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    store.save_cases([case("S1", patient="wrong", volumes=["V1"])])
    store.save_cases([case("S1", patient="right", volumes=["V1"])])
    rows = connection.execute(
        "SELECT patient.name, volume.name FROM patient JOIN study ON patient_id = patient.id "
        "JOIN volume ON study_id = study.id"
    ).fetchall()
    assert rows == [("right", "V1")]
    assert count(connection, "patient") == 1


def test_a_volume_that_moves_to_another_study_takes_its_latent_along(
    store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    first = store.save_cases([case("S1", volumes=["V1"])])
    volume = first.volumes["folder", "V1"]
    store.save_embeddings(
        collection,
        [EmbeddingRow(study_id=first.studies["folder", "S1"], volume_id=volume, content=b"c", latent=UNIT)],
    )
    second = store.save_cases([case("S2", volumes=["V1"])])
    assert connection.execute("SELECT study_id FROM embedding").fetchone() == (
        second.studies["folder", "S2"],
    )


def test_one_volume_in_two_studies_of_a_batch_is_refused_and_nothing_is_stored(
    store: Store, connection: psycopg.Connection
) -> None:
    with pytest.raises(DatasetError, match="the volume CT is in two studies of folder"):
        store.save_cases([case("S1", volumes=["CT"]), case("S2", volumes=["CT"])])
    assert count(connection, "study") == 0


def test_names_are_identities_within_a_dataset_only(store: Store, connection: psycopg.Connection) -> None:
    store.save_cases([case("S1", volumes=["V1"]), case("S1", volumes=["V1"], dataset="dicom")])
    assert (count(connection, "patient"), count(connection, "study"), count(connection, "volume")) == (
        2,
        2,
        2,
    )


def test_text_that_postgres_cannot_hold_is_stored_readably(
    store: Store, connection: psycopg.Connection
) -> None:
    latin1_file_name = b"Lunge_\xe4".decode("utf-8", "surrogateescape")
    scan = case("S1", volumes=[latin1_file_name], reports=(Report(name="R", findings="No\0dule."),))
    saved = store.save_cases([scan])
    assert saved.volume_id(scan, scan.volumes[0]) > 0
    assert connection.execute("SELECT name FROM volume").fetchone() == ("Lunge_\\udce4",)
    assert connection.execute("SELECT findings FROM report").fetchone() == ("Nodule.",)


def test_no_cases_are_no_work(store: Store, collection: CollectionInfo) -> None:
    assert store.save_cases([]).studies == {}
    store.save_embeddings(collection, [])
    store.save_files([])
    store.save_identities({})


# Files


def test_a_file_that_arrives_later_joins_its_row(store: Store) -> None:
    volume = store.save_cases([case("S1", volumes=["V1"])]).volumes["folder", "V1"]
    assert store.known_files([volume]) == {}
    row = FileRow(
        volume_id=volume, uri="/a/V1.nii.gz", size=10, mtime_ns=5, sha256=b"s" * 32, rescale_source=None
    )
    store.save_files([row])
    read = replace(row, mtime_ns=6, rescale_source="header")
    store.save_files([read])
    assert store.known_files([volume]) == {volume: read}


def test_equal_bytes_under_two_names_are_two_volumes_that_know_of_each_other(store: Store) -> None:
    volumes = store.save_cases([case("S1", volumes=["V1"]), case("S2", volumes=["V2"])]).volumes
    for volume in volumes.values():
        store.save_files([FileRow(volume_id=volume, uri=None, size=1, mtime_ns=1, sha256=b"same")])
    assert store.same_content(b"same") == ["V1", "V2"]
    assert store.same_content(b"same", except_volume=volumes["folder", "V1"]) == ["V2"]
    assert store.same_content(b"other") == []


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


# Removal, identity


def fill(store: Store) -> None:
    """Two patients, the first with two studies, in two collections, with everything that can be stored."""
    cases = [
        case(
            study,
            patient=patient,
            volumes=[f"{study}_1", f"{study}_2"],
            reports=(Report(name=study, findings="A nodule. No effusion."),),
            labels={"Lung nodule": True},
        )
        for patient, study in (("P1", "S1"), ("P1", "S2"), ("P2", "S3"))
    ]
    saved = store.save_cases(cases)
    for name in ("one", "two"):
        made = make_collection(store, name)
        rows = [
            EmbeddingRow(
                study_id=saved.study_id(each),
                volume_id=saved.volume_id(each, volume),
                content=b"v",
                latent=UNIT,
            )
            for each in cases
            for volume in each.volumes
        ]
        rows += [
            EmbeddingRow(
                study_id=saved.study_id(each),
                report_id=saved.report_id(each, report),
                content=b"r",
                latent=UNIT,
            )
            for each in cases
            for report in each.reports
        ]
        store.save_embeddings(made, rows)
        with store.attended_run(made) as run:
            for each in cases:
                store.record_failure(run, item=f"/in/{each.study}_2.nii.gz", content=None, error="truncated")
                store.record_failure(
                    run,
                    item=f"/dicom/{each.patient}^JOHN",
                    content=None,
                    error="gap",
                    study_id=saved.study_id(each),
                )
    store.save_files(
        [
            FileRow(volume_id=volume, uri=f"/in/{name}.nii.gz", size=1, mtime_ns=1, sha256=b"s")
            for (_, name), volume in saved.volumes.items()
        ]
    )
    store.save_identities(dict.fromkeys(saved.studies.values(), b"sealed"))


def test_removing_every_patient_leaves_nothing_but_the_audit(
    store: Store, connection: psycopg.Connection
) -> None:
    fill(store)
    removed = store.remove_patient("P1", actor="alice")
    assert (removed.patients, removed.studies, removed.volumes, removed.reports, removed.latents) == (
        1,
        2,
        4,
        2,
        12,
    )
    assert removed.collections == {"one": 6, "two": 6}
    store.remove_patient("folder/P2", actor="alice")
    left = {table: rows for table, rows in everything(connection).items() if rows}
    assert left == {"collection": 2, "index_run": 2, "audit_event": 2}
    row = connection.execute("SELECT actor, action, subject, detail FROM audit_event ORDER BY id").fetchone()
    assert row == (
        "alice",
        "remove",
        "patient folder/P1",
        {"studies": 2, "volumes": 4, "reports": 2, "latents": 12},
    )


def test_removing_a_study_leaves_its_patients_others(store: Store, connection: psycopg.Connection) -> None:
    fill(store)
    removed = store.remove_study("S1")
    assert (removed.patients, removed.studies, removed.volumes, removed.reports, removed.latents) == (
        0,
        1,
        2,
        1,
        6,
    )
    names = connection.execute("SELECT name FROM study ORDER BY name").fetchall()
    assert names == [("S2",), ("S3",)]
    items = connection.execute("SELECT DISTINCT item FROM index_item ORDER BY item").fetchall()
    assert ("/in/S1_2.nii.gz",) not in items
    assert ("/in/S2_2.nii.gz",) in items
    assert store.remove_study("S2").patients == 1  # the patient's last
    assert connection.execute("SELECT name FROM patient").fetchall() == [("P2",)]


def test_an_unknown_patient_names_the_nearest_and_removes_nothing(
    store: Store, connection: psycopg.Connection
) -> None:
    store.save_cases([case("S1", patient="valid_53")])
    with pytest.raises(
        SearchError, match=r"there is no patient 'valid_35' in the archive: did you mean 'valid_53'"
    ):
        store.remove_patient("valid_35")
    assert (count(connection, "patient"), count(connection, "audit_event")) == (1, 0)


def test_a_patient_of_two_datasets_must_be_named_with_one(
    store: Store, connection: psycopg.Connection
) -> None:
    store.save_cases([case("S1"), case("S1", dataset="dicom")])
    with pytest.raises(SearchError, match="in 2 datasets: name one as dicom/P1 or folder/P1"):
        store.remove_patient("P1")
    store.remove_patient("dicom/P1")
    assert connection.execute("SELECT dataset FROM patient").fetchall() == [("folder",)]


def test_a_sealed_identity_is_kept_and_replaced(store: Store) -> None:
    study = store.save_cases([case("S1")]).studies["folder", "S1"]
    assert store.identity(study) is None
    store.save_identities({study: b"first"})
    store.save_identities({study: b"second", study + 999: b"of a study that was removed"})
    assert store.identity(study) == b"second"


# Two writers at once


def write_everything(address: str, backwards: bool, barrier) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTSEARCH_DATABASE", address)
        store = Store(open_engine())
    cases = [
        case(
            f"S{number}",
            patient=f"P{number // 2}",
            volumes=[f"V{number}_1", f"V{number}_2"],
            reports=(Report(name=f"S{number}", findings=f"Nodule of {number} mm."),),
            labels={"Lung nodule": True},
        )
        for number in range(40)
    ]
    batches = [cases[start : start + 10] for start in range(0, 40, 5)]
    barrier.wait()
    made = make_collection(store, "shared")
    for batch in reversed(batches) if backwards else batches:
        saved = store.save_cases(batch[::-1] if backwards else batch)
        rows = [
            EmbeddingRow(
                study_id=saved.study_id(each),
                volume_id=saved.volume_id(each, volume),
                content=b"v",
                latent=UNIT,
            )
            for each in batch
            for volume in each.volumes
        ]
        store.save_embeddings(made, rows)


def test_two_indexers_at_once_on_one_archive_neither_lock_up_nor_write_anything_twice(
    database: str, connection: psycopg.Connection
) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    writers = [
        spawn.Process(target=write_everything, args=(database, backwards, barrier))
        for backwards in (False, True, False)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    tables = ("collection", "patient", "study", "volume", "report", "report_sentence", "label", "embedding")
    assert [count(connection, table) for table in tables] == [1, 20, 40, 80, 40, 40, 40, 80]


def test_a_removal_amid_indexing_ends_with_all_or_nothing_of_the_study(
    engine: Engine, store: Store, collection: CollectionInfo, connection: psycopg.Connection
) -> None:
    scan = case("S1", volumes=["V1", "V2"], reports=(Report(name="R1", findings="Nodule."),))
    failures: list[BaseException] = []

    def index() -> None:
        try:
            for _ in range(20):
                saved = store.save_cases([scan])
                rows = [
                    EmbeddingRow(
                        study_id=saved.study_id(scan),
                        volume_id=saved.volume_id(scan, volume),
                        content=b"v",
                        latent=UNIT,
                    )
                    for volume in scan.volumes
                ]
                store.save_embeddings(collection, rows)
        except BaseException as error:  # shown by the assertion below
            failures.append(error)

    indexing = threading.Thread(target=index)
    store.save_cases([scan])
    indexing.start()
    while indexing.is_alive():
        try:
            store.remove_study("S1")
        except SearchError:
            continue
    indexing.join()
    assert failures == []
    orphans = connection.execute(
        "SELECT count(*) FROM embedding WHERE volume_id NOT IN (SELECT id FROM volume)"
    ).fetchone()
    assert orphans == (0,)
