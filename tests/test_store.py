"""The store on a real server: identity, change, files."""

from dataclasses import replace

import psycopg
import pytest

from encoders.errors import DatasetError
from retrieval.cases import Acquisition, Case, Report, Volume
from retrieval.store import CollectionInfo, EmbeddingRow, FileRow, Store
from tests.stored import UNIT, case, count, everything

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
