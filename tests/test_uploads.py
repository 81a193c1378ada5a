"""Uploads: kept once, under names of ours, encoded by the worker, shown to whom they belong, removed."""

from sqlalchemy import Engine, text

from tests.web_app import client_of
from tests.web_jobs import bring, do_jobs, nifti_bytes, phantom_collection


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
