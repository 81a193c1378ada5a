"""The API's description, its page, and the figures for Prometheus."""

import re

import pytest
from playwright.sync_api import Page
from prometheus_client.parser import text_string_to_metric_families

from tests.web_app import client_of, served
from tests.web_archive import ODD

MINE = re.compile(
    r"/api/v1/(search|facets|cases|labels|scores|ask|feedback|export|collections|health|metrics)"
)


@pytest.fixture
def document(client):
    return client.get("/api/v1/openapi.json").json()


def test_every_operation_says_what_it_does_and_how_it_refuses(document) -> None:
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["tags"], where
            statuses = set(operation["responses"])
            assert {"422", "429", "503"} <= statuses, where
            assert ("401" in statuses) is (operation.get("security") != []), where
            assert "404" in statuses or "{" not in path, where
            assert "413" in statuses or method == "get", where
            for status in statuses & {"401", "403", "404", "422"}:
                content = operation["responses"][status]["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, (where, status)


def test_bodies_and_answers_have_examples_and_fields_say_what_they_are(document) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values() if MINE.match(path) else ():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    assert parameter.get("description"), (path, parameter["name"])
    schemas = document["components"]["schemas"]
    for name in ("SearchBody", "AskBody", "MarkBody"):
        assert schemas[name]["examples"]
    for name in ("AnswerModel", "CaseModel", "CollectionModel", "ScoresModel"):
        assert schemas[name]["example"]


def test_only_health_and_signing_in_answer_without_a_session(document) -> None:
    public = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation.get("security") == []
    }
    assert public == {"/api/v1/health/live", "/api/v1/health/ready"}


def test_the_page_of_the_description_asks_no_other_server(client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    files = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert all(name.startswith("/") for name in files)
    for name in (name for name in files if name.startswith("/static/")):
        assert client.get(name).status_code == 200, name
    assert not re.search(r"<script(?![^>]*src=)", page.text)
    assert "style=" not in page.text
    assert client.get("/static/vendor/swagger-ui/LICENSE").status_code == 200


def test_a_browser_draws_the_description_under_the_policy(client, page: Page) -> None:
    with served(client.app.state.desk.engine) as address:
        page.goto(address)
        page.goto(f"{address.partition('/?')[0]}/docs")
        page.locator(".opblock-summary-path", has_text="/facets").wait_for(timeout=120_000)
        assert page.locator(".opblock").count() > 20


def test_figures_name_routes_and_kinds_and_no_case(client) -> None:
    client.get(f"/api/v1/cases/ct-rate/{ODD}")
    client.get("/api/v1/cases/ct-rate/a_1")
    client.post("/api/v1/search", json={"text": "nodule", "legs": ["text"]})
    client.get("/api/v1/nothing/of/the/kind")
    answer = client.get("/api/v1/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    requests = {
        (one.labels["method"], one.labels["route"], one.labels["status"]): one.value
        for one in families["ctsearch_request_seconds"].samples
        if one.name.endswith("_count")
    }
    assert requests["GET", "/api/v1/cases/{dataset}/{study:path}", "200"] == 1
    assert requests["POST", "/api/v1/search", "200"] == 1
    assert requests["GET", "none", "404"] == 1
    [searched] = [one for one in families["ctsearch_searches"].samples if one.name.endswith("_total")]
    assert (searched.labels, searched.value) == ({"kind": "text", "engine": "pgvector"}, 1)
    jobs = {one.labels["state"]: one.value for one in families["ctsearch_jobs"].samples}
    assert jobs["queued"] == 0
    assert "a_1" not in answer.text
    assert client_of(client.app.state.desk.engine, token=None).get("/api/v1/metrics").status_code == 401
