"""Accounts, tokens and the audit over the API and on the pages of admins."""

import csv
import io

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from retrieval.store import Store
from tests.web_accounts import PASSWORD, form_token_of, program, sign_in, signed_in, stranger, with_account
from tests.web_archive import fill_archive
from web.access.caller import Caller
from web.audit import record


@pytest.fixture
def admin(engine: Engine) -> TestClient:
    """A program of an admin."""
    return program(engine, "admin")


def test_an_account_is_made_and_signs_in_and_its_password_is_shown_nowhere(
    engine: Engine, admin: TestClient
) -> None:
    answer = admin.post("/api/v1/accounts", json={"name": "Anna", "role": "indexer", "password": PASSWORD})
    assert answer.status_code == 201
    assert (answer.json()["name"], answer.json()["role"]) == ("anna", "indexer")
    assert sign_in(stranger(engine), "anna") == 303
    assert PASSWORD not in admin.get("/api/v1/accounts").text
    assert "argon2" not in admin.get("/api/v1/accounts").text


@pytest.mark.parametrize(
    ("account", "status"),
    [
        ({"name": "program.admin", "role": "reader"}, 409),  # taken
        ({"name": "PROGRAM.admin", "role": "reader"}, 409),  # the same name
        ({"name": "cli"}, 422),  # the audit's word for the command line
        ({"name": "a/b"}, 422),
        ({"name": ""}, 422),
        ({"name": "anna", "role": "owner"}, 422),
        ({"name": "anna", "password": "too short"}, 422),
        ({"name": "anna", "password": "x" * 1025}, 422),
    ],
)
def test_an_account_that_will_not_do_is_refused(
    admin: TestClient, account: dict[str, str], status: int
) -> None:
    assert admin.post("/api/v1/accounts", json=account).status_code == status


def test_an_account_changes_role_and_is_disabled(engine: Engine, admin: TestClient) -> None:
    with_account(engine, "anna", "reader")
    changed = admin.patch("/api/v1/accounts/anna", json={"role": "indexer", "disabled": True}).json()
    assert changed["role"] == "indexer"
    assert changed["disabled_at"] is not None
    assert admin.patch("/api/v1/accounts/anna", json={"disabled": False}).json()["disabled_at"] is None
    assert admin.patch("/api/v1/accounts/nobody", json={}).status_code == 404


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "reader"}])
def test_the_last_admin_stays(admin: TestClient, change: dict[str, object]) -> None:
    answer = admin.patch("/api/v1/accounts/program.admin", json=change)
    assert answer.status_code == 409
    assert "only admin" in answer.json()["error"]
    assert admin.get("/api/v1/me").json()["role"] == "admin"


def test_a_token_is_shown_once_and_opens_until_it_is_revoked(engine: Engine, admin: TestClient) -> None:
    with_account(engine, "robot", "reader")
    made = admin.post("/api/v1/accounts/robot/tokens", json={"label": "night import", "days": 7}).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert stranger(engine).get("/api/v1/me", headers=bearer).json() == {"name": "robot", "role": "reader"}
    listed = admin.get("/api/v1/accounts/robot/tokens")
    assert [each["label"] for each in listed.json()["tokens"]] == ["night import"]
    assert made["token"] not in listed.text
    assert admin.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert admin.delete(f"/api/v1/tokens/{made['id']}").status_code == 404
    assert stranger(engine).get("/api/v1/me", headers=bearer).status_code == 401


def test_the_pages_do_what_the_api_does(engine: Engine) -> None:
    browser = signed_in(engine, "admin")
    csrf = {"csrf_token": form_token_of(browser)}
    form = csrf | {"name": "anna", "role": "reader", "password": PASSWORD}
    assert browser.post("/accounts", data=form).status_code == 303
    assert browser.post("/accounts", data=form).status_code == 409
    assert browser.post("/accounts/role", data=csrf | {"name": "anna", "role": "indexer"}).status_code == 303
    shown = browser.post("/accounts/token", data=csrf | {"name": "anna", "label": "<script>", "days": 1}).text
    token = shown.split('aria-label="The new token">')[1].split("<")[0]
    assert stranger(engine).get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json() == {
        "name": "anna",
        "role": "indexer",
    }
    page = browser.get("/accounts").text
    assert token not in page
    assert "&lt;script&gt;" in page
    assert browser.post("/accounts/disable", data=csrf | {"name": "anna"}).status_code == 303
    assert sign_in(stranger(engine), "anna") == 401
    assert browser.post("/accounts/enable", data=csrf | {"name": "anna"}).status_code == 303
    assert browser.post("/accounts/revoke", data=csrf | {"number": 1}).status_code == 303
    assert browser.post("/accounts/disable", data={"name": "anna"}).status_code == 403  # no form token


def test_the_audit_shows_who_saw_which_case(engine: Engine, admin: TestClient) -> None:
    desk = admin.app.state.desk  # type: ignore[attr-defined]
    anna, berta = (Caller(name=name, role="reader", account_id=1) for name in ("anna", "berta"))
    record(desk, anna, "read case", "phantom/p 1/a")
    record(desk, berta, "search", "collection chest", cases=["phantom/p 1/a", "phantom/other"])
    record(desk, berta, "read case", "phantom/other")
    found = admin.get("/api/v1/audit", params={"case": "phantom/p 1/a"}).json()["events"]
    seen = [(event["actor"], event["action"]) for event in found if event["actor"] != "program.admin"]
    assert seen == [("berta", "search"), ("anna", "read case")]
    by_anna = admin.get("/api/v1/audit", params={"actor": "anna"}).json()["events"]
    assert [event["subject"] for event in by_anna] == ["phantom/p 1/a"]
    asked = admin.get("/api/v1/audit", params={"limit": 1}).json()["events"][0]
    assert (asked["actor"], asked["action"]) == ("program.admin", "read audit")


def test_what_a_reader_reads_and_finds_is_found_by_case_with_their_name(
    engine: Engine, admin: TestClient
) -> None:
    fill_archive(engine)
    reader = program(engine, "reader")
    assert reader.get("/api/v1/cases/ct-rate/a_2").status_code == 200
    assert reader.get("/api/v1/search", params={"case": "a_1", "dataset": "ct-rate"}).status_code == 200
    assert reader.get("/cases/ct-rate/a_2").status_code == 200
    events = admin.get("/api/v1/audit", params={"case": "ct-rate/a_2"}).json()["events"]
    seen = [(event["actor"], event["action"]) for event in events if event["actor"] != "program.admin"]
    assert seen == [
        ("program.reader", "read case"),
        ("program.reader", "search"),
        ("program.reader", "read case"),
    ]
    assert admin.get("/api/v1/audit", params={"case": "folder/a_1"}).status_code == 200


def test_the_audit_has_days_of_utc_and_pages(engine: Engine, admin: TestClient) -> None:
    with engine.begin() as connection:
        for at in ("2026-03-01T23:59:59.9Z", "2026-03-02T00:00:00Z", "2026-03-02T23:59:59.9Z"):
            connection.execute(
                text(
                    "INSERT INTO audit_event (at, actor, action, subject, detail) "
                    "VALUES (CAST(:at AS timestamptz), 'anna', 'read case', :subject, '{}')"
                ),
                {"at": at, "subject": at},
            )
    day = {"day": "2026-03-02", "limit": 1}
    first = admin.get("/api/v1/audit", params=day).json()["events"]
    assert [event["subject"] for event in first] == ["2026-03-02T23:59:59.9Z"]
    then = admin.get("/api/v1/audit", params=day | {"before": first[0]["id"]}).json()["events"]
    assert [event["subject"] for event in then] == ["2026-03-02T00:00:00Z"]
    assert admin.get("/api/v1/audit", params={"day": "yesterday"}).status_code == 422


def test_the_audit_as_csv_holds_all_and_no_formula(engine: Engine, admin: TestClient) -> None:
    store = Store(engine)
    for number in range(1200):
        store.audit("anna", "read case", f"phantom/{number}")
    store.audit('=HYPERLINK("evil")', "read case", "@phantom")
    answer = admin.get("/api/v1/audit.csv", params={"actor": "anna"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 1201
    rows = list(csv.reader(io.StringIO(admin.get("/api/v1/audit.csv").text)))
    assert ['\'=HYPERLINK("evil")', "read case", "'@phantom"] in [row[1:4] for row in rows]


def test_sign_ins_failures_and_changes_are_in_the_audit_and_mistyped_names_are_not(engine: Engine) -> None:
    browser = signed_in(engine, "admin")
    sign_in(stranger(engine), "a.admin", "wrong password")
    sign_in(stranger(engine), "my secret passphrase", "wrong password")
    csrf = {"csrf_token": form_token_of(browser)}
    browser.post("/accounts", data=csrf | {"name": "anna", "role": "reader", "password": PASSWORD})
    browser.post("/accounts/role", data=csrf | {"name": "anna", "role": "indexer"})
    browser.post("/sign-out", data=csrf)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT actor, action, subject FROM audit_event ORDER BY id")).all()
        everything = str(connection.execute(text("SELECT * FROM audit_event")).all())
    assert [tuple(row) for row in rows] == [
        ("tests", "add account", "account a.admin"),
        ("a.admin", "sign in", "account a.admin"),
        ("a.admin", "failed sign-in", "account a.admin"),
        ("unknown", "failed sign-in", "account unknown"),
        ("a.admin", "add account", "account anna"),
        ("a.admin", "change role", "account anna"),
        ("a.admin", "sign out", "account a.admin"),
    ]
    for secret in ("passphrase", PASSWORD, "argon2"):
        assert secret not in everything


def test_the_audit_page_shows_it_and_escapes_it(engine: Engine) -> None:
    browser = signed_in(engine, "admin")
    Store(engine).audit("anna", "read case", "phantom/<script>alert(1)</script>", {"volume": "é"})
    shown = browser.get("/audit", params={"actor": "anna"}).text
    assert "phantom/&lt;script&gt;" in shown
    assert browser.get("/audit", params={"day": "yesterday"}).status_code == 400
    assert browser.get("/audit", params={"day": "2026-01-01"}).status_code == 200


def test_a_body_over_the_limit_is_refused_whether_it_says_so_or_not(admin: TestClient) -> None:
    def unsaid():
        for _ in range(40):
            yield b'"' + b"x" * 2**15

    json = {"Content-Type": "application/json"}
    for body in (b"x" * (2**20 + 1), unsaid()):
        answer = admin.post("/api/v1/accounts", content=body, headers=json)
        assert answer.status_code == 413
        assert answer.json() == {"error": "the request is longer than 1,048,576 bytes: send less"}


def test_a_form_over_the_limit_is_refused_before_anybody_signs_in(engine: Engine) -> None:
    form = {"name": "x" * 2**20, "password": "y"}
    assert stranger(engine).post("/sign-in", data=form).status_code == 413
