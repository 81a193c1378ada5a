"""Searches through the API: the answers of the command line, every bad question one sentence."""

import hashlib
from urllib.parse import quote

import httpx2
import numpy as np
import pytest
from sqlalchemy import Engine, insert

from retrieval.desk_schema import Job, Upload, UploadLatent
from retrieval.records import FileRow
from retrieval.store import Store
from tests.command import Command
from tests.small_archive import unit
from tests.web_app import client_of, served
from tests.web_archive import ODD

CONTENT = hashlib.sha256(b"the scan in the upload").digest()


@pytest.fixture
def command(archive: Engine, capsys, monkeypatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.mark.parametrize(
    ("typed", "body", "address"),
    [
        (("--case", "a_1_1"), {"case": "a_1_1"}, "case=a_1_1"),
        (("--case", "folder/a_1"), {"case": "a_1", "dataset": "folder"}, "case=a_1&dataset=folder"),
        (
            ("--text", "pleural effusion", "--leg", "text"),
            {"text": "pleural effusion", "legs": ["text"]},
            None,
        ),
        (
            ("--case", "a_2", "--sex", "M", "--age", "90:", "--unit", "volume", "-k", "2"),
            {"case": "a_2", "sex": "M", "age": "90:", "unit": "volume", "k": 2},
            "case=a_2&sex=M&age=90:&unit=volume&k=2&manufacturer=&label=",
        ),
        (
            ("--case", "a_2", "--label", "nodules", "--without-label", "pleural-effusion"),
            {"case": "a_2", "labels": ["nodules"], "without_labels": ["pleural-effusion"]},
            "case=a_2&label=nodules&without_label=pleural-effusion",
        ),
    ],
)
def test_a_search_answers_what_the_command_line_answers(client, command, typed, body, address) -> None:
    printed = command("search", *typed, "--json").json
    answers = [client.post("/api/v1/search", json=body)]
    answers += [client.get(f"/api/v1/search?{address}")] if address else []
    for answer in answers:
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert [hit.pop("dataset") for hit in said["hits"]] == [
            hit["metadata"]["dataset"] for hit in printed["hits"]
        ]
        assert {**said, "took_ms": 0, "explanation": []} == {**printed, "took_ms": 0, "explanation": []}


def test_a_report_is_asked_by_its_text_and_never_in_an_address(client) -> None:
    report = "Findings: A nodule in the left lung.\nImpression: Nodule."
    answer = client.post("/api/v1/search", json={"report": report, "legs": ["text"]}).json()
    assert answer["query"]["kind"] == "report"
    assert {hit["study"] for hit in answer["hits"]} >= {"a_1", "a_2"}
    refused = client.get("/api/v1/search", params={"report": report})
    assert refused.status_code == 422
    assert "found none" in refused.json()["error"]


def test_an_odd_name_is_found_read_and_asked_by(archive: Engine) -> None:
    with served(archive) as address:
        origin, _, token = address.partition("/?token=")
        client = httpx2.Client(base_url=origin, headers={"Authorization": f"Bearer {token}"})
        hits = client.post("/api/v1/search", json={"text": "effusion", "legs": ["text"]}).json()["hits"]
        assert hits[0]["study"] == ODD
        read = client.get(f"/api/v1/cases/ct-rate/{quote(ODD, safe='')}")
        assert read.status_code == 200
        assert (read.json()["study"], read.json()["reports"][0]["name"]) == (ODD, ODD)
        asked = client.get(f"/api/v1/search?case={quote(ODD, safe='')}&dataset=ct-rate")
        assert asked.json()["query"]["study"] == ODD


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 422, "found none"),
        ({"text": "a", "case": "b"}, 422, "found text and case"),
        ({"text": "  "}, 422, "found none"),
        ({"text": "x", "dataset": "ct-rate"}, 422, "dataset_filter"),
        ({"text": "x", "k": 0}, 422, "k: "),
        ({"text": "x", "k": 10**9}, 422, "k: "),
        ({"text": "x", "age": "old"}, 422, "range of years"),
        ({"text": "x", "sex": "neither"}, 422, "take F or M"),
        ({"text": "x", "labels": ["gout"]}, 422, "not one of the 18"),
        ({"text": "x", "labels": ["nodule"], "without_labels": ["nodule"]}, 422, "both present and absent"),
        ({"text": "x", "legs": ["text"], "manufacturer": "\0Nobody"}, 422, "no case has the manufacturer"),
        ({"text": "x", "unit": "leg"}, 422, "unit: "),
        ({"case": "nobody"}, 404, "no case is called"),
        ({"case": "a_1"}, 422, "2 datasets"),
        ({"case": "a_1", "dataset": "nowhere"}, 404, "has no case"),
        ({"case": "a_1", "dataset": "ct-rate", "collection": "none"}, 404, "no collection"),
        ({"upload": "none"}, 404, "no upload"),
        ({"text": "二\0\u202e\U0001fac1", "legs": ["text"]}, 200, None),
        ({"report": "Technique: CT."}, 422, "neither findings nor an impression"),
        ({"report": "x" * 2_000_000}, 413, "longer than"),
        ([1], 422, "the body: "),
    ],
)
def test_a_bad_question_is_refused_in_one_sentence(client, body, status, says) -> None:
    answer = client.post("/api/v1/search", json=body)
    assert answer.status_code == status, answer.text
    if says is not None:
        assert says in answer.json()["error"]
        assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{no", b"\xff\xfe", b""])
def test_what_is_no_json_is_refused_in_words(client, body: bytes) -> None:
    answer = client.post("/api/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert "body" in answer.json()["error"] or "text" in answer.json()["error"]


def test_nobody_searches_without_a_session(archive: Engine) -> None:
    stranger = client_of(archive, token=None)
    for path in ("search?text=x", "cases", "cases/ct-rate/a_1", "collections", "labels", "facets"):
        assert stranger.get(f"/api/v1/{path}").status_code == 401


def test_a_search_and_a_reading_are_audited_without_a_word_of_a_report(client, connection) -> None:
    client.post("/api/v1/search", json={"text": "nodule", "legs": ["text"]})
    client.get("/api/v1/cases/ct-rate/a_1")
    rows = connection.execute("SELECT action, subject, detail::text FROM audit_event ORDER BY id").fetchall()
    assert [row[:2] for row in rows] == [("search", "collection default"), ("read case", "ct-rate/a_1")]
    assert "ct-rate/a_1" in rows[0][2]
    assert "mm nodule" not in " ".join(row[2] for row in rows)


def test_an_upload_asks_by_its_stored_latent_once_it_has_one(client, archive, connection) -> None:
    upload(archive, "u1", actor="local")
    waiting = client.post("/api/v1/search", json={"upload": "u1"})
    assert waiting.status_code == 409
    job = connection.execute("SELECT id FROM job").fetchone()[0]
    assert waiting.json()["job"] == job
    assert f"job {job} is queued" in waiting.json()["error"]
    encode(archive, "u1", [1, 0, 0, 0])
    answer = client.post("/api/v1/search", json={"upload": "u1"}).json()
    assert answer["query"]["kind"] == "upload"
    assert answer["query"]["stored_as"] == []
    assert answer["warnings"] == ["it is short"]
    assert answer["hits"][0]["study"] == "a_1"
    assert answer["hits"][0]["score"] == pytest.approx(1.0)
    row = connection.execute(
        "SELECT id, name FROM volume WHERE (dataset, name) = ('ct-rate', 'a_1_1')"
    ).fetchone()
    same = FileRow(volume_id=row[0], uri=None, size=1, mtime_ns=0, sha256=CONTENT, rescale_source="none")
    Store(archive).save_files([same])
    again = client.post("/api/v1/search", json={"upload": "u1"}).json()
    assert again["query"]["stored_as"] == [row[1]]
    found = [(hit["dataset"], hit["study"]) for hit in again["hits"]]
    assert ("ct-rate", "a_1") not in found  # the study that it is


def upload(engine: Engine, name: str, *, actor: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(Upload).values(
                id=name, actor=actor, name="scan.nii.gz", size=1, sha256=hashlib.sha256(b"x").digest()
            )
        )
        connection.execute(
            insert(Job).values(
                kind="encode",
                state="queued",
                actor=actor,
                upload_id=name,
                asked={"collection": "default"},
                progress={},
            )
        )


def encode(engine: Engine, name: str, latent: list[float]) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(UploadLatent).values(
                upload_id=name,
                collection_id=1,
                latent=np.asarray(unit(latent)),
                content=CONTENT,
                warnings=["it is short"],
            )
        )
