"""What is removed is gone everywhere; and two writers at once, on a real server."""

import multiprocessing
import threading
from collections.abc import Sequence

import psycopg
import pytest
from sqlalchemy import Engine

from encoders.errors import SearchError
from retrieval.cases import Case, Report, VolumeFile
from retrieval.postgres import open_engine
from retrieval.reading import volume_content
from retrieval.records import SavedCases
from retrieval.store import CollectionInfo, EmbeddingRow, FileRow, Store
from tests.stored import UNIT, case, count, everything, make_collection

# Removal, identity


def latents_of(cases: Sequence[Case], saved: SavedCases) -> list[EmbeddingRow]:
    """One of each volume."""
    return [
        EmbeddingRow(
            study_id=saved.study_id(each),
            volume_id=saved.volume_id(each, volume),
            content=b"v",
            latent=UNIT,
        )
        for each in cases
        for volume in each.volumes
    ]


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
        rows = latents_of(cases, saved)
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
    shown = VolumeFile(
        kind="nifti", uri="elsewhere"
    )  # to a chat model, without the table it was indexed with
    assert set(removed.contents) == {b"v", volume_content(b"s", shown, "auto")}
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
        store.save_embeddings(made, latents_of(batch, saved))


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
                store.save_embeddings(collection, latents_of([scan], saved))
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
