"""Uploads: kept once, under names of ours, encoded by the worker, shown to whom they belong, removed."""

import os
import time
from pathlib import Path

import numpy as np
import pydicom
from sqlalchemy import Engine, select, text
from sqlalchemy.engine import Connection, Row

from encoders.encoder import load_encoder
from retrieval.archive import BUILT_IN_ENCODER
from retrieval.archive_key import existing_key
from retrieval.database_address import home
from retrieval.desk_schema import UploadLatent
from retrieval.questions import encode_volume
from retrieval.reading import file_sha256
from retrieval.service import CaseSearch
from tests.synthetic_ct import chest_hu, dicom_slices
from tests.web_accounts import program
from tests.web_app import client_of
from tests.web_jobs import bring, dicom_bytes, do_jobs, nifti_bytes, phantom_collection, zip_bytes
from web.jobs.cleaning import clean
from web.jobs.upload_folders import new_upload
from web.jobs.uploads import upload_of, volume_of_upload
from web.settings import WebSettings


def test_an_upload_is_encoded_by_the_worker_and_its_latent_is_stored(engine: Engine) -> None:
    info = phantom_collection(engine)
    client = client_of(engine)
    answer = bring(client, nifti_bytes())
    assert answer.status_code == 201, answer.text
    brought = answer.json()
    assert brought["name"] == "chest.nii.gz"
    assert client.get(f"/api/v1/jobs/{brought['job']}").json()["state"] == "queued"
    do_jobs()
    job = client.get(f"/api/v1/jobs/{brought['job']}").json()
    assert (job["state"], job["progress"]["step"], job["error"]) == ("finished", "stored", None)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT upload_id, collection_id FROM upload_latent")).all()
    assert [tuple(row) for row in rows] == [(brought["upload"], info.id)]


def test_the_same_bytes_are_the_same_upload_and_are_encoded_once(engine: Engine) -> None:
    phantom_collection(engine)
    client = client_of(engine)
    first = bring(client, {"monday.nii.gz": nifti_bytes()}).json()
    do_jobs()
    again = bring(client, {"tuesday.nii.gz": nifti_bytes()}).json()
    assert (again["upload"], again["job"]) == (first["upload"], first["job"])
    assert client.get(f"/api/v1/uploads/{first['upload']}").json()["name"] == "tuesday.nii.gz"
    assert [path.name for path in (home() / "uploads").iterdir()] == [first["upload"]]
    assert client.get(f"/api/v1/jobs/{first['job']}").json()["attempts"] == 1


def test_the_same_bytes_of_two_people_are_two_uploads(engine: Engine) -> None:
    phantom_collection(engine)
    one = bring(program(engine, "reader"), nifti_bytes()).json()
    other = bring(program(engine, "indexer"), nifti_bytes()).json()
    assert one["upload"] != other["upload"]


def test_a_dicom_folder_and_its_zip_give_the_latent_that_the_files_give(engine: Engine) -> None:
    info = phantom_collection(engine)
    client = client_of(engine)
    files = dicom_bytes()
    brought = [
        bring(client, {**files, "CT1/README.txt": b"not for you"}).json(),
        bring(client, {"study.zip": zip_bytes({**files, "CT1/README.txt": b"not for you"})}).json(),
    ]
    do_jobs()
    with engine.connect() as connection:
        found = [_stored(connection, each["upload"], info.id) for each in brought]
        volume = volume_of_upload(upload_of(connection, brought[1]["upload"]))
    expected, _ = encode_volume(load_encoder(BUILT_IN_ENCODER), Path(volume.uri))
    assert [np.abs(np.asarray(each.latent, np.float32) - expected).max() < 1e-5 for each in found] == [
        True,
        True,
    ]
    assert {each.content for each in found} == {file_sha256(volume)}
    assert (volume.kind, len(volume.paths)) == ("dicom", 24)


def test_of_a_study_with_a_scout_and_two_kernels_the_series_with_most_slices_is_taken(engine: Engine) -> None:
    info = phantom_collection(engine)
    client = client_of(engine)
    thin = dicom_slices(chest_hu((40, 48, 48)), series_number=3, pixel_mm=8.0, slice_mm=3.0)
    thick = dicom_slices(chest_hu((12, 48, 48)), series_number=2, pixel_mm=8.0, slice_mm=10.0)
    files = dicom_bytes(thin) | {f"CT2/{name}": data for name, data in dicom_bytes(thick).items()}
    brought = bring(client, files).json()
    do_jobs()
    with engine.connect() as connection:
        found = _stored(connection, brought["upload"], info.id)
    assert any("series 3 with 40 slices was taken" in warning for warning in found.warnings)


def test_two_scans_in_one_upload_are_no_question(engine: Engine) -> None:
    phantom_collection(engine)
    client = client_of(engine)
    brought = bring(client, {"a.nii.gz": nifti_bytes(noise=1), "b.nii.gz": nifti_bytes(noise=2)}).json()
    do_jobs()
    assert "2 CTs" in client.get(f"/api/v1/jobs/{brought['job']}").json()["error"]


def test_an_upload_that_is_deleted_leaves_no_byte_latent_or_job(engine: Engine) -> None:
    phantom_collection(engine)
    client = client_of(engine)
    brought = bring(client, nifti_bytes()).json()
    do_jobs()
    assert client.delete(f"/api/v1/uploads/{brought['upload']}").status_code == 204
    assert list((home() / "uploads").iterdir()) == []
    with engine.connect() as connection:
        for table in ("upload", "upload_latent", "job"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0
    assert client.delete(f"/api/v1/uploads/{brought['upload']}").status_code == 404
    actions = "SELECT action FROM audit_event WHERE subject = :subject ORDER BY id"
    with engine.connect() as connection:
        audited = (
            connection.execute(text(actions), {"subject": f"upload/{brought['upload']}"}).scalars().all()
        )
    assert audited == ["upload", "remove upload"]


def test_uploads_expire_with_their_rows_and_those_that_wait_do_not(engine: Engine) -> None:
    phantom_collection(engine)
    client = client_of(engine)
    old, waiting, young = (bring(client, nifti_bytes(noise=noise)).json() for noise in (1, 2, 3))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE upload SET created_at = now() - interval '15 days' WHERE id <> :young"),
            {"young": young["upload"]},
        )
        connection.execute(text("UPDATE job SET state = 'failed' WHERE id = :id"), {"id": old["job"]})
    clean(engine, WebSettings())
    left = {path.name for path in (home() / "uploads").iterdir()}
    assert left == {waiting["upload"], young["upload"]}
    with engine.connect() as connection:
        assert set(connection.execute(text("SELECT id FROM upload")).scalars()) == left


def test_what_a_server_left_that_was_killed_is_deleted_after_a_while(engine: Engine) -> None:
    _, abandoned = new_upload()
    _, under_way = new_upload()
    hours_ago = time.time() - 7 * 3600
    for path in (*abandoned.iterdir(), abandoned):
        os.utime(path, (hours_ago, hours_ago))
    clean(engine, WebSettings())
    assert list((home() / "uploads").iterdir()) == [under_way]


def test_an_upload_for_a_collection_that_is_not_there_is_refused_and_not_kept(engine: Engine) -> None:
    client = client_of(engine)
    assert bring(client, nifti_bytes()).status_code in (404, 422)  # the archive is empty
    phantom_collection(engine)
    assert bring(client, nifti_bytes(), collection="none").status_code in (404, 422)
    assert list((home() / "uploads").iterdir()) == []
    assert bring(client, nifti_bytes(), encode="false").json()["job"] is None


def test_a_patient_who_is_removed_leaves_no_byte_in_uploads(engine: Engine) -> None:
    phantom_collection(engine)
    client = client_of(engine)
    indexed, kept = (
        dicom_bytes(dicom_slices(chest_hu((24, 48, 48), noise=noise), patient=patient, pixel_mm=8.0))
        for patient, noise in (("GONE", 1.0), ("STAYS", 2.0))
    )
    both = {**indexed, **{f"other/{name}": data for name, data in kept.items()}}
    together = bring(client, both, encode="false").json()
    alone = bring(program(engine, "reader"), indexed).json()  # asked by the same bytes
    client.post("/api/v1/jobs", json={"upload": together["upload"]})
    do_jobs()
    assert client.delete(f"/api/v1/uploads/{together['upload']}").status_code == 409
    search = CaseSearch(engine, key=existing_key())
    search.remove_patient("GONE")
    left = sorted((home() / "uploads").rglob("*.dcm"))
    assert {pydicom.dcmread(path, stop_before_pixels=True).PatientID for path in left} == {"STAYS"}
    assert not (home() / "uploads" / alone["upload"]).exists()
    search.remove_patient("STAYS")
    assert list((home() / "uploads").iterdir()) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM upload")).scalar() == 0


def _stored(connection: Connection, upload_id: str, collection_id: int) -> Row:
    query = select(UploadLatent.latent, UploadLatent.content, UploadLatent.warnings)
    return connection.execute(query.filter_by(upload_id=upload_id, collection_id=collection_id)).one()
