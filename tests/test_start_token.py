"""The start-up token: it opens the page once, becomes a cookie, and nobody else gets in."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.web_app import TOKEN, client_of

NAMES = "127.0.0.1:8080"


@pytest.fixture
def browser(engine: Engine) -> TestClient:
    client = client_of(engine, token=None)
    client.follow_redirects = False
    return client


def test_the_token_becomes_a_cookie_of_another_value_and_leaves_the_address(browser: TestClient) -> None:
    answer = browser.get("/jobs", params={"token": TOKEN, "q": "1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?q=1")
    said = answer.headers["set-cookie"]
    assert "HttpOnly" in said
    assert "samesite=strict" in said.lower()
    assert TOKEN not in said
    assert browser.get("/api/v1/nothing").status_code == 404  # let in, and there is nothing


@pytest.mark.parametrize("token", ["wrong", "é", "", "\x00"])
def test_another_token_opens_nothing(browser: TestClient, token: str) -> None:
    assert browser.get("/api/v1/nothing", params={"token": token}).status_code == 401
    headers = {"Authorization": f"Bearer {token}".encode()}
    assert browser.get("/api/v1/nothing", headers=headers).status_code == 401


def test_a_forged_cookie_opens_nothing_and_the_token_is_no_cookie(browser: TestClient) -> None:
    for value in ("forged", "start-up-token"):
        browser.cookies.set("ctsearch-8080", value)
        assert browser.get("/api/v1/nothing").status_code == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::1"],
)
def test_a_name_that_is_not_the_servers_is_refused_even_with_the_token(engine: Engine, host: str) -> None:
    answer = client_of(engine).get("/api/v1/nothing", headers={"Host": host})
    assert answer.status_code == 400
    assert "--allowed-host" in answer.json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080"])
def test_loopback_has_several_names(engine: Engine, host: str) -> None:
    assert client_of(engine).get("/api/v1/nothing", headers={"Host": host}).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Real-IP"])
def test_what_comes_through_a_proxy_is_refused_where_the_token_opens_all(engine: Engine, header: str) -> None:
    answer = client_of(engine).get("/api/v1/nothing", headers={header: "for=10.0.0.1"})
    assert answer.status_code == 403
    assert "--behind-proxy" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "https://127.0.0.1:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(engine: Engine, headers: dict[str, str]) -> None:
    assert client_of(engine).post("/api/v1/nothing", headers=headers).status_code == 403
    assert client_of(engine).get("/api/v1/nothing", headers=headers).status_code == 404
