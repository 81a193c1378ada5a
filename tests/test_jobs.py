"""Jobs: bounded, seen while they run, taken up again when a worker dies, retried, cancelled, listed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from retrieval import migrate
from retrieval.database_address import home
from retrieval.loaded_encoders import LoadedEncoders
from tests.command import Command, until
from tests.forked_workers import Workers
from tests.synthetic_ct import chest_hu, dicom_slices
from tests.web_app import client_of
from tests.web_jobs import bring, dicom_bytes, do_jobs, job_of, nifti_bytes, phantom_collection
from web.jobs.job_rows import MOST_ATTEMPTS, JobGoneError, claim_job, finish_job
from web.jobs.orders import order_encoding
from web.jobs.queue import PutBackError, make_queue
from web.jobs.work import Bench
from web.settings import WebSettings

LATENTS = "SELECT count(*) FROM upload_latent"


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """A client of an application with a collection to encode for."""
    phantom_collection(engine)
    return client_of(engine)


def start_and_pause_in_mid_job(workers: Workers, client: TestClient, number: int) -> int:
    """Start a worker, and stop it by SIGSTOP while it does a job."""
    pid = workers.start()
    until(lambda: job_of(client, number)["state"] == "running")
    os.kill(pid, signal.SIGSTOP)
    assert job_of(client, number)["state"] == "running"
    return pid


def large_series() -> dict[str, bytes]:
    """Three hundred slices: enough work to be killed in."""
    return dicom_bytes(dicom_slices(chest_hu((300, 128, 128)), pixel_mm=3.0, slice_mm=1.0))


def test_a_job_whose_worker_is_killed_is_taken_up_again_and_done_once(
    engine: Engine, client: TestClient, workers: Workers
) -> None:
    brought = bring(client, large_series()).json()
    first = start_and_pause_in_mid_job(workers, client, brought["job"])
    assert workers.end(first, signal.SIGKILL) == -signal.SIGKILL
    second = workers.start()
    until(lambda: job_of(client, brought["job"])["state"] == "finished")
    until(lambda: queued(engine) == 0)
    assert workers.end(second) == 0
    job = job_of(client, brought["job"])
    assert (job["attempts"], job["error"]) == (2, None)
    with engine.connect() as connection:
        assert connection.execute(text(LATENTS)).scalar() == 1


def queued(engine: Engine):
    """How many jobs the library's own table holds."""
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM ctsearch_queue.procrastinate_jobs")).scalar()


def test_a_worker_that_comes_back_after_it_was_given_up_stores_nothing(
    engine: Engine, client: TestClient
) -> None:
    brought = bring(client, nifti_bytes()).json()
    first = claim_job(engine, brought["job"])
    second = claim_job(engine, brought["job"])
    assert (first.attempt, second.attempt) == (1, 2)
    with pytest.raises(JobGoneError), engine.begin() as connection:
        finish_job(connection, first, {})
    assert job_of(client, brought["job"])["state"] == "running"


def test_a_job_that_takes_its_worker_down_each_time_fails_in_the_end(
    engine: Engine, client: TestClient
) -> None:
    brought = bring(client, nifti_bytes()).json()
    for _ in range(MOST_ATTEMPTS):
        assert claim_job(engine, brought["job"]) is not None
    assert claim_job(engine, brought["job"]) is None
    job = job_of(client, brought["job"])
    assert (job["state"], "ended 3 times" in job["error"]) == ("failed", True)
    client.post(f"/api/v1/jobs/{brought['job']}/retry")
    do_jobs()
    assert job_of(client, brought["job"])["state"] == "finished"


def test_a_job_of_a_worker_that_is_to_stop_waits_for_the_next_and_counts_no_attempt(
    engine: Engine, client: TestClient
) -> None:
    number = bring(client, nifti_bytes()).json()["job"]
    bench = Bench(engine=engine, encoders=LoadedEncoders("cpu"), settings=WebSettings())
    with pytest.raises(PutBackError):
        bench.perform(number, lambda: True)
    assert (job_of(client, number)["state"], job_of(client, number)["attempts"]) == ("queued", 0)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "..", "x" * 5000])
def test_names_that_no_database_takes_are_refused_in_one_sentence(client: TestClient, name: str) -> None:
    sent = [{"upload": name}, {"folder": name}, {"upload": name, "folder": name}]
    for body in sent:
        answer = client.post(
            "/api/v1/jobs", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (403, 404, 422), answer.text
    if name.isascii():
        assert client.get(f"/api/v1/uploads/{quote(name, safe='')}").status_code == 404
    assert bring(client, nifti_bytes(), collection=name.replace("\ud800", "")).status_code in (201, 404, 422)


def test_the_worker_of_a_server_ends_with_it(database: str) -> None:
    command = "from cli.main import main; main()"
    worker = subprocess.Popen(
        [sys.executable, "-c", command, "worker", "--ends-with-stdin"], stdin=subprocess.PIPE
    )
    until(lambda: queue_is_made(database))
    worker.stdin.close()
    assert worker.wait(60) == 0


def queue_is_made(database: str) -> bool:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT to_regnamespace('ctsearch_queue')").fetchone() != (None,)


def test_uploads_are_refused_while_as_many_jobs_wait_as_may(engine: Engine) -> None:
    phantom_collection(engine)
    client = client_of(engine, waiting_jobs=2)
    assert [bring(client, nifti_bytes(noise=noise)).status_code for noise in (1, 2)] == [201, 201]
    refused = bring(client, nifti_bytes(noise=3))
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert "2 jobs wait already" in refused.json()["error"]
    do_jobs()
    assert bring(client, nifti_bytes(noise=3)).status_code == 201


def test_many_who_ask_at_once_leave_no_more_waiting_than_may(engine: Engine) -> None:
    phantom_collection(engine)
    answers = []

    def ask(noise: int) -> None:
        answers.append(bring(client_of(engine, waiting_jobs=3), nifti_bytes(noise=noise)).status_code)

    threads = [threading.Thread(target=ask, args=(noise,)) for noise in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] * 3 + [429] * 5
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM upload")).scalar() == 3
    assert len(list((home() / "uploads").iterdir())) == 3


def test_a_job_that_waits_may_be_cancelled_and_retried(client: TestClient) -> None:
    number = bring(client, nifti_bytes()).json()["job"]
    assert client.post(f"/api/v1/jobs/{number}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{number}/cancel").status_code == 404
    do_jobs()
    assert job_of(client, number)["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{number}/retry").json()["state"] == "queued"
    do_jobs()
    assert job_of(client, number)["state"] == "finished"
    assert client.post(f"/api/v1/jobs/{number}/retry").status_code == 404


def test_a_job_that_runs_may_be_cancelled_and_stores_nothing(
    engine: Engine, client: TestClient, workers: Workers
) -> None:
    brought = bring(client, large_series()).json()
    worker = start_and_pause_in_mid_job(workers, client, brought["job"])
    client.post(f"/api/v1/jobs/{brought['job']}/cancel")
    other = bring(client, nifti_bytes()).json()
    os.kill(worker, signal.SIGCONT)
    until(lambda: job_of(client, other["job"])["state"] == "finished")
    assert workers.end(worker) == 0
    assert job_of(client, brought["job"])["state"] == "cancelled"
    with engine.connect() as connection:
        assert connection.execute(text(LATENTS)).scalar() == 1


def test_progress_is_told_throughout_an_upload_of_three_hundred_slices(
    client: TestClient, workers: Workers
) -> None:
    brought = bring(client, large_series()).json()
    worker = workers.start("--once")
    told, moments = [], [time.monotonic()]
    with client.stream("GET", f"/api/v1/jobs/{brought['job']}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                told.append(json.loads(line.removeprefix("data:")))
                moments.append(time.monotonic())
    assert workers.wait(worker) == 0
    assert told[-1]["state"] == "finished"
    assert {document["state"] for document in told} == {"queued", "running", "finished"}
    silences = [after - before for before, after in pairwise(moments)]
    assert max(silences) < 5.0
    shares = [document["progress"]["share"] for document in told]
    assert shares == sorted(shares)


def test_the_queue_stays_out_of_the_archives_schema(
    database: str, engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctsearch = Command(capsys, monkeypatch)
    before = ctsearch("db", "status", "--json").json["schema"]
    makers = [threading.Thread(target=make_queue, args=(engine,)) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    migrate.check(engine)
    assert ctsearch("db", "status", "--json").json["schema"] == before
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename LIKE 'procrastinate%'")
        assert {schema for (schema,) in tables} == {"ctsearch_queue"}


def test_a_queue_of_another_version_is_made_anew_and_no_job_is_lost(
    engine: Engine, client: TestClient, workers: Workers
) -> None:
    number = bring(client, nifti_bytes()).json()["job"]
    with engine.begin() as connection:
        connection.execute(text("COMMENT ON SCHEMA ctsearch_queue IS 'procrastinate 1.0'"))
    worker = workers.start()
    until(lambda: job_of(client, number)["state"] == "finished")
    assert workers.end(worker) == 0


def test_the_worker_serves_the_embedded_database_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTSEARCH_DATABASE", raising=False)
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "embedded"))
    engine = migrate.open_archive()
    try:
        phantom_collection(engine)
        client = client_of(engine)
        number = bring(client, nifti_bytes()).json()["job"]
        do_jobs()
        assert job_of(client, number)["state"] == "finished"
    finally:
        engine.dispose()
        from retrieval.postgres import embedded_server

        embedded_server().stop()


def test_a_job_for_the_same_upload_and_collection_is_ordered_once(engine: Engine, client: TestClient) -> None:
    brought = bring(client, nifti_bytes()).json()
    phantom_collection(engine, "second")
    values = {"actor": "local", "upload": brought["upload"], "waiting_jobs": 16}
    assert order_encoding(engine, collection=None, **values) == brought["job"]
    other = order_encoding(engine, collection="second", **values)
    assert other != brought["job"]
    do_jobs()
    assert order_encoding(engine, collection="second", **values) == other
    with engine.connect() as connection:
        assert connection.execute(text(LATENTS)).scalar() == 2


def test_bytes_that_were_deleted_by_hand_fail_the_job_in_one_sentence(client: TestClient) -> None:
    brought = bring(client, nifti_bytes()).json()
    shutil.rmtree(home() / "uploads" / brought["upload"])
    do_jobs()
    job = job_of(client, brought["job"])
    assert (job["state"], "upload it again" in job["error"]) == ("failed", True)
