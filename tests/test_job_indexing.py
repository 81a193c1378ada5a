"""Indexing as a job: a served folder or an upload, who may ask for it, what failed and is retried."""

from pathlib import Path

from sqlalchemy import Engine, text

from tests.synthetic_ct import as_xyz, chest_hu, dicom_slices, write_nifti
from tests.web_accounts import program
from tests.web_app import client_of
from tests.web_jobs import (
    bring,
    dicom_bytes,
    do_jobs,
    job_of,
    nifti_bytes,
    phantom_collection,
    served_folder,
)


def test_an_indexer_indexes_a_folder_and_its_failures_are_listed_and_retried(
    engine: Engine, tmp_path: Path
) -> None:
    folder = served_folder(tmp_path)
    client = program(engine, "indexer", served_folders=(str(tmp_path / "served"),))
    asked = client.post("/api/v1/jobs", json={"folder": str(folder), "anonymous": True})
    assert asked.status_code == 201, asked.text
    do_jobs()
    job = job_of(client, asked.json()["id"])
    assert (job["state"], job["result"]["indexed"], job["result"]["failed"]) == ("finished", 2, 1)
    assert [Path(failure["item"]).name for failure in job["failures"]] == ["broken.nii.gz"]
    assert "NIfTI" in job["failures"][0]["error"]
    write_nifti(folder / "broken.nii.gz", as_xyz(chest_hu(noise=9.0)))
    assert client.post(f"/api/v1/jobs/{job['id']}/retry").json()["state"] == "queued"
    do_jobs()
    job = job_of(client, job["id"])
    assert (job["state"], job["result"]["indexed"], job["failures"]) == ("finished", 1, [])


def test_a_folder_that_is_not_served_is_not_indexed_however_it_is_written(
    engine: Engine, tmp_path: Path
) -> None:
    served = served_folder(tmp_path).parent
    outside = tmp_path / "outside"
    outside.mkdir()
    (served / "way out").symlink_to(outside)
    (tmp_path / "served beside").mkdir()
    client = program(engine, "indexer", served_folders=(str(served),))
    for path in (
        outside,
        served / "way out",
        f"{served}/scans/../../outside",
        tmp_path / "served beside",
        served / "scans" / "scan0.nii.gz",
        "scans",
        "/",
        "",
        "a\0b",
    ):
        answer = client.post("/api/v1/jobs", json={"folder": str(path)})
        assert answer.status_code == 403, path
    assert client.post("/api/v1/jobs", json={}).status_code == 422


def test_a_folder_that_became_a_link_since_it_was_asked_for_is_not_indexed(
    engine: Engine, tmp_path: Path
) -> None:
    folder = served_folder(tmp_path)
    client = program(engine, "indexer", served_folders=(str(folder.parent),))
    number = client.post("/api/v1/jobs", json={"folder": str(folder)}).json()["id"]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    do_jobs()
    assert (job_of(client, number)["state"], job_of(client, number)["result"]) == ("failed", None)


def test_a_reader_indexes_nothing_and_sees_no_job_of_others(engine: Engine) -> None:
    phantom_collection(engine)
    reader, other = program(engine, "reader"), client_of(engine)
    brought = bring(other, nifti_bytes()).json()
    assert reader.post("/api/v1/jobs", json={"upload": brought["upload"]}).status_code == 403
    assert reader.get("/api/v1/jobs").json() == {"jobs": []}
    for method, path in (
        ("GET", f"jobs/{brought['job']}"),
        ("GET", f"jobs/{brought['job']}/events"),
        ("POST", f"jobs/{brought['job']}/cancel"),
        ("GET", f"uploads/{brought['upload']}"),
        ("DELETE", f"uploads/{brought['upload']}"),
    ):
        assert reader.request(method, f"/api/v1/{path}").status_code == 404


def test_an_upload_is_indexed_under_pseudonyms_and_stays(engine: Engine) -> None:
    client = program(engine, "indexer", uploads_kept_days=0)
    slices = dicom_slices(chest_hu((24, 48, 48)), patient="MUELLER 0815", pixel_mm=8.0)
    brought = bring(client, dicom_bytes(slices), encode="false").json()
    assert brought["job"] is None
    asked = client.post("/api/v1/jobs", json={"upload": brought["upload"], "collection": "new"}).json()
    do_jobs(uploads_kept_days=0)
    job = job_of(client, asked["id"])
    assert (job["state"], job["result"]["indexed"]) == ("finished", 1)
    with engine.connect() as connection:
        patients = connection.execute(text("SELECT name FROM patient")).scalars().all()
        uri = connection.execute(text("SELECT uri FROM source_file")).scalar()
    assert (len(patients), "0815" in patients[0], uri) == (1, False, None)
    do_jobs(uploads_kept_days=0)
    assert client.get(f"/api/v1/uploads/{brought['upload']}").json()["indexed_at"] is not None


def test_the_page_shows_jobs_and_their_forms_work_without_scripts(engine: Engine, tmp_path: Path) -> None:
    folder = served_folder(tmp_path)
    client = client_of(engine, served_folders=(str(tmp_path / "served"),))
    answer = client.post("/jobs/index", data={"folder": str(folder), "collection": "default"})
    assert (answer.url.path, "Waiting" in answer.text) == ("/jobs", True)
    do_jobs()
    shown = client.get("/jobs").text
    assert "1 failed" in shown
    assert "Retry what failed" in shown
    refused = client.post("/jobs/index", data={"folder": "/", "collection": "default"})
    assert (refused.status_code, "no folder that the server indexes" in refused.text) == (403, True)
    assert "<html" not in client.get("/jobs/list").text
