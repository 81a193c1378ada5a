"""The case page without a browser: every sentence has an address, every word of others is escaped."""

import re

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from retrieval.archive_key import make_key
from retrieval.cases import Acquisition, Case, Report, Volume
from retrieval.store import Store
from tests.phantom_desk import COLLECTION
from tests.web_app import client_of
from web.templating import address_of

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def client(phantoms: Engine) -> TestClient:
    return client_of(phantoms)


def with_finding(client: TestClient) -> str:
    """The first phantom with a pleural effusion."""
    found = client.get("/api/v1/cases", params={"label": "Pleural effusion", "limit": 1}).json()
    return str(found["cases"][0]["study"])


def test_a_case_shows_its_report_in_numbered_sentences_and_its_findings(client: TestClient) -> None:
    study = with_finding(client)
    page = client.get(f"/cases/phantom/{study}")
    assert page.status_code == 200
    assert 'id="findings-1"' in page.text
    assert 'id="impression-1"' in page.text
    assert "Cases like this one that are known not to have Pleural effusion" in page.text
    assert f"/?case={study}&amp;dataset=phantom&amp;without_label=Pleural+effusion" in page.text.replace(
        "%20", "+"
    )
    assert "/api/v1/slices/phantom/" in page.text


def test_what_the_model_makes_of_a_case_comes_beside_what_is_known(client: TestClient) -> None:
    part = client.get(f"/case-scores/phantom/{with_finding(client)}", params={"collection": COLLECTION})
    assert part.status_code == 200
    assert part.text.count("<meter") == 18


def test_reading_a_case_is_in_the_audit(client: TestClient, phantoms: Engine) -> None:
    study = with_finding(client)
    client.get(f"/cases/phantom/{study}")
    with phantoms.connect() as connection:
        rows = connection.execute(
            text("SELECT actor FROM audit_event WHERE action = 'read case' AND subject = :subject"),
            {"subject": f"phantom/{study}"},
        ).all()
    assert ("local",) in [tuple(row) for row in rows]


@pytest.mark.parametrize(
    "name", [HOSTILE, "a/b/../c", "\u202edesrever", "name with spaces & 100 % ?#", "ß" * 300]
)
def test_a_case_of_any_name_is_reached_and_escaped(phantoms: Engine, name: str) -> None:
    report = Report(name="r", findings=f"Zebrafish sign. {HOSTILE}", impression=HOSTILE)
    volume = Volume(name=f"{name} 1", acquisition=Acquisition(kernel=HOSTILE, other={HOSTILE: HOSTILE}))
    Store(phantoms).save_cases(
        [Case(dataset="odd <em>", patient=name, study=name, volumes=(volume,), reports=(report,))]
    )
    page = client_of(phantoms).get(f"/cases/{address_of('odd <em>', name)}")
    assert page.status_code == 200, page.text
    for markup in ("<script>alert", "<img src=x", "<em>"):
        assert markup not in page.text


def test_a_report_of_a_hundred_thousand_characters_is_shown_whole(phantoms: Engine) -> None:
    said = " ".join(f"The {number}th nodule measures {number} mm." for number in range(2900))
    assert len(said) > 100_000
    Store(phantoms).save_cases(
        [Case(dataset="long", patient="p", study="s", volumes=(), reports=(Report(name="r", findings=said),))]
    )
    page = client_of(phantoms).get("/cases/long/s")
    assert len(re.findall(r'<li id="findings-\d+"', page.text)) == 2900


def test_a_case_that_is_not_there_is_a_sentence_and_404(client: TestClient) -> None:
    page = client.get("/cases/phantom/nobody")
    assert page.status_code == 404
    assert "nobody" in page.text


def test_an_admin_goes_to_pacs_where_the_accession_is_known(phantoms: Engine) -> None:
    store = Store(phantoms)
    saved = store.save_cases(
        [
            Case(dataset="hospital", patient="p", study="known"),
            Case(dataset="hospital", patient="p", study="not"),
        ]
    )
    key = make_key()
    store.save_identities({saved.studies["hospital", "known"]: key.encrypt(b'{"accession": "A 1/2"}')})
    client = client_of(phantoms, pacs_url="https://pacs.example/open?a={accession}")
    client.follow_redirects = False
    assert "Open in PACS" in client.get("/cases/hospital/known").text
    assert "Open in PACS" not in client.get("/cases/hospital/not").text
    assert client.get("/pacs/hospital/known").headers["location"] == "https://pacs.example/open?a=A%201%2F2"
    assert client.get("/pacs/hospital/not").status_code == 404
    with phantoms.connect() as connection:
        audited = connection.execute(text("SELECT subject FROM audit_event WHERE action = 'open in PACS'"))
        assert [row.subject for row in audited] == ["hospital/known"]
