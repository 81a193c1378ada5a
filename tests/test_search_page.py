"""The search page without a browser: what it shows, that every word of others is escaped."""

import html
import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from retrieval.cases import Case, Report
from retrieval.postgres_server import EmbeddedServer
from retrieval.store import Store
from tests.phantom_desk import COLLECTION, phantom_engine
from tests.web_app import client_of

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def phantoms(server: EmbeddedServer) -> Iterator[Engine]:
    with phantom_engine(server, "search_page") as engine:
        yield engine


@pytest.fixture
def client(phantoms: Engine) -> TestClient:
    return client_of(phantoms)


def test_an_archive_without_a_case_says_how_to_index_one(engine: Engine) -> None:
    page = client_of(engine).get("/")
    assert page.status_code == 200
    assert "No case has been indexed yet" in page.text
    assert "ctsearch index" in page.text
    assert "Research use only" in page.text


def test_words_find_cases_with_the_sentences_that_say_so(client: TestClient) -> None:
    page = client.get("/", params={"text": "pleural effusion"})
    assert page.status_code == 200
    assert 'id="hit-1"' in page.text
    assert "<mark>" in page.text
    assert "its report says so" in page.text


def test_a_page_asks_nobody_else_and_has_nothing_inline(client: TestClient) -> None:
    text = client.get("/", params={"text": "pleural effusion"}).text
    assert "http://" not in text
    assert "https://" not in text
    assert " style=" not in text
    assert "<style" not in text
    assert "onclick" not in text
    assert "<script>" not in text


def test_what_is_asked_is_shown_as_text(client: TestClient) -> None:
    page = client.get("/", params={"text": HOSTILE})
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "&lt;script&gt;alert" in page.text


def test_a_filter_that_does_not_exist_is_refused_in_a_sentence(client: TestClient) -> None:
    page = client.get("/", params={"text": "nodule", "label": "Broken heart"})
    assert page.status_code == 422
    assert 'role="alert"' in page.text
    assert "Broken heart" in page.text


def test_filters_that_leave_nothing_are_each_counted_without(client: TestClient) -> None:
    page = client.get("/", params={"text": "pleural effusion", "sex": "F", "age": "0:1"}).text
    assert "No case matches" in page
    assert "without “sex F”" not in page  # nobody is that young
    ((address, count),) = re.findall(
        r'<a href="([^"]+)">without “age 0:1”</a> <span class="quiet">(\d+) case', page
    )
    assert int(count) > 0
    assert f"<b>{count}</b> case" in client.get(html.unescape(address)).text


@pytest.mark.parametrize(
    "name", [HOSTILE, "a/b/../c", "\u202edesrever", "name with spaces & 100 % ?#", "ß" * 300]
)
def test_a_case_of_any_name_is_shown_and_reached(phantoms: Engine, name: str) -> None:
    report = Report(name="r", findings=f"Zebrafish sign is seen. {HOSTILE}", impression="Zebrafish sign.")
    case = Case(dataset="odd <em>", patient=name, study=name, volumes=(), reports=(report,))
    Store(phantoms).save_cases([case])
    page = client_of(phantoms).get("/", params={"text": "zebrafish sign", "collection": COLLECTION})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "<em>" not in page.text
