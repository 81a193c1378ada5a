"""Every path of the application: who may, and that nobody else may."""

import re

from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.web_accounts import form_token_of, program, signed_in, stranger
from tests.web_routes import Route, routes_of

WITHOUT_A_SESSION = {
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/sign-in/provider"),
    ("GET", "/sign-in/back"),
    ("GET", "/api/v1/health/live"),
    ("GET", "/api/v1/health/ready"),
}
"""All that answers without a session, static files of the sign-in page apart."""

READERS_MAY_POST = {
    "/",  # a search whose report is too long for an address
    "/api/v1/export.csv",
    "/api/v1/export.pdf",
    "/api/v1/ask",
    "/api/v1/feedback",
    "/api/v1/jobs/1/cancel",  # their own
    "/api/v1/jobs/1/retry",  # their own
    "/jobs/1/cancel",
    "/jobs/1/retry",
    "/api/v1/me/password",
    "/api/v1/search",
    "/api/v1/uploads",
    "/api/v1/uploads/1",  # their own
    "/password",
    "/sign-in",
    "/sign-out",
}
"""What a reader may send that is more than reading; everything else is for indexers or admins."""


def _routes(client: TestClient) -> list[Route]:
    return routes_of(client.app)


def test_without_a_session_every_path_but_signing_in_and_health_answers_401(engine: Engine) -> None:
    client = stranger(engine)
    routes = [each for each in _routes(client) if (each.method, each.path) not in WITHOUT_A_SESSION]
    assert len(routes) > 15
    answers = {each: client.request(each.method, each.path) for each in routes}
    assert {each: answer.status_code for each, answer in answers.items()} == dict.fromkeys(routes, 401)
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers.values())


def test_what_is_no_route_answers_401_too(engine: Engine) -> None:
    client = stranger(engine)
    paths = ["/nothing", "/api/v1/nothing", "/static/hits.js", "/static/", "/docs", "/redoc", "/metrics"]
    paths += ["/sign-in/", "/sign-in//x", "/sign-in%2F..%2Faccounts", "/static/ctsearch.css/../hits.js"]
    for path in paths:
        assert client.get(path).status_code == 401, path
    for method in ("OPTIONS", "TRACE", "PUT", "HEAD"):
        assert client.request(method, "/api/v1/me").status_code == 401, method


def test_a_browser_is_shown_the_form_in_the_place_of_a_page(engine: Engine) -> None:
    answer = stranger(engine).get("/map?collection=chest", headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert 'action="/sign-in"' in answer.text
    assert 'name="next" value="/map?collection=chest"' in answer.text
    assert "Research use only" in answer.text


def test_what_the_sign_in_page_refers_to_is_there_without_a_session(engine: Engine) -> None:
    client = stranger(engine)
    referred = re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/sign-in").text)
    assert referred
    assert {address: client.get(address).status_code for address in referred} == dict.fromkeys(referred, 200)


def test_a_link_from_another_site_is_asked_once_more_as_a_request_of_our_own(engine: Engine) -> None:
    client = stranger(engine)
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    assert 'http-equiv="refresh"' in client.get("/map", headers=headers).text
    assert 'http-equiv="refresh"' not in client.get("/map", headers={"Accept": "text/html"}).text


def test_every_route_says_what_it_demands(engine: Engine) -> None:
    silent = {
        (each.method, each.path)
        for each in _routes(stranger(engine))
        if each.demands is None and (each.method, each.path) not in WITHOUT_A_SESSION
    }
    assert silent == {("GET", "/api/v1/openapi.json")}


def test_a_reader_sends_nothing_that_is_for_indexers_or_admins(engine: Engine) -> None:
    reader = program(engine, "reader")
    unsafe = [each for each in _routes(reader) if each.method not in ("GET", "HEAD")]
    above = [each for each in unsafe if each.demands in ("indexer", "admin")]
    assert len(above) > 5
    assert {
        (each.method, each.path) for each in unsafe if each not in above and each.path not in READERS_MAY_POST
    } == set()
    statuses = {each: reader.request(each.method, each.path).status_code for each in above}
    assert statuses == dict.fromkeys(above, 403)


def test_an_indexer_and_a_reader_open_nothing_of_admins(engine: Engine) -> None:
    for role in ("reader", "indexer"):
        browser = signed_in(engine, role)
        headers = {"X-CSRF-Token": form_token_of(browser)}
        admins = [each for each in _routes(browser) if each.demands == "admin"]
        statuses = {
            each: browser.request(each.method, each.path, headers=headers).status_code for each in admins
        }
        assert statuses == dict.fromkeys(admins, 403)


def test_every_answer_carries_the_headers_that_bind_browsers(engine: Engine) -> None:
    browser = signed_in(engine, "admin")
    for path in ("/sign-in", "/accounts", "/api/v1/me", "/nothing", "/static/ctsearch.css"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", "")
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in headers  # plain HTTP on this machine
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")


def test_pages_have_no_script_or_style_of_their_own(engine: Engine) -> None:
    browser = signed_in(engine, "admin")
    for path in ("/sign-in", "/accounts", "/audit", "/nothing"):
        text = browser.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text), path
