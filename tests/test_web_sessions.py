"""Signing in: sessions of accounts in a real database, and attacks on them made by hand."""

import hashlib
import re
import time

import pytest
from sqlalchemy import Engine, text

from tests.web_accounts import (
    OWN,
    PASSWORD,
    form_token_of,
    program,
    sign_in,
    signed_in,
    stranger,
    with_account,
)
from tests.web_app import client_of
from web.access.accounts import Accounts
from web.access.rates import Rates
from web.problems import TooManyError


def _rows(engine: Engine, query: str):
    with engine.connect() as connection:
        return connection.execute(text(query)).all()


def _run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_a_name_and_its_password_open_a_session_that_leads_to_where_one_was_going(engine: Engine) -> None:
    with_account(engine, "Anna", "reader")
    browser = stranger(engine)
    form = {"name": "ANNA", "password": PASSWORD, "next": "/map?collection=chest"}
    answer = browser.post("/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/map?collection=chest")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert browser.get("/api/v1/me").json() == {"name": "anna", "role": "reader"}


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/x", ""],
)
def test_signing_in_leads_nowhere_else(engine: Engine, elsewhere: str) -> None:
    name = with_account(engine, "anna", "reader")
    form = {"name": name, "password": PASSWORD, "next": elsewhere}
    assert stranger(engine).post("/sign-in", data=form).headers["location"] == "/"


def test_the_database_holds_digests_and_neither_cookie_nor_password_nor_token(engine: Engine) -> None:
    browser, sender = signed_in(engine, "reader"), program(engine, "indexer")
    cookie = browser.cookies["ctsearch-8080"]
    token = sender.headers["Authorization"].removeprefix("Bearer ")
    assert [bytes(row.sha256) for row in _rows(engine, "SELECT sha256 FROM web_session")] == [
        hashlib.sha256(cookie.encode()).digest()
    ]
    assert [bytes(row.sha256) for row in _rows(engine, "SELECT sha256 FROM access_token")] == [
        hashlib.sha256(token.encode()).digest()
    ]
    kept = _rows(engine, "SELECT password_hash FROM account")
    assert all(re.match(r"\$argon2id\$v=19\$m=65536,t=3,p=4\$", row.password_hash) for row in kept)


def test_what_the_database_holds_of_a_session_or_token_opens_nothing(engine: Engine) -> None:
    signed_in(engine, "reader"), program(engine, "indexer")
    for query in ("SELECT sha256 FROM web_session", "SELECT sha256 FROM access_token"):
        stolen = bytes(_rows(engine, query)[0].sha256).hex()
        thief = stranger(engine)
        thief.cookies.set("ctsearch-8080", stolen)
        assert thief.get("/api/v1/me").status_code == 401
        assert thief.get("/api/v1/me", headers={"Authorization": f"Bearer {stolen}"}).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE web_session SET expires_at = now() - interval '1 s'",
        "UPDATE web_session SET seen_at = now() - interval '3601 s'",
        "UPDATE account SET disabled_at = now()",
    ],
)
def test_a_session_that_expired_or_idled_or_lost_its_account_opens_nothing(
    engine: Engine, change: str
) -> None:
    browser = signed_in(engine, "reader")
    assert browser.get("/api/v1/me").status_code == 200
    _run(engine, change)
    assert browser.get("/api/v1/me").status_code == 401


def test_a_session_in_use_does_not_idle(engine: Engine) -> None:
    browser = signed_in(engine, "reader")
    _run(engine, "UPDATE web_session SET seen_at = now() - interval '3000 s'")
    assert browser.get("/api/v1/me").status_code == 200
    assert _rows(engine, "SELECT 1 FROM web_session WHERE seen_at > now() - interval '60 s'")


def test_signing_out_ends_the_session_on_the_server(engine: Engine) -> None:
    browser = signed_in(engine, "reader")
    cookie = browser.cookies["ctsearch-8080"]
    answer = browser.post("/sign-out", data={"csrf_token": form_token_of(browser)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    browser.cookies.set("ctsearch-8080", cookie)
    assert browser.get("/api/v1/me").status_code == 401


def test_a_new_password_ends_every_session(engine: Engine) -> None:
    browser = signed_in(engine, "reader")
    headers = {"X-CSRF-Token": form_token_of(browser)}
    wrong = {"old": "not the old password", "new": "another long password"}
    assert browser.post("/api/v1/me/password", json=wrong, headers=headers).status_code == 403
    right = {"old": PASSWORD, "new": "another long password"}
    assert browser.post("/api/v1/me/password", json=right, headers=headers).status_code == 204
    assert browser.get("/api/v1/me").status_code == 401
    assert sign_in(browser, "a.reader") == 401
    assert sign_in(browser, "a.reader", "another long password") == 303


def test_the_page_changes_ones_own_password_and_the_start_up_token_has_none(engine: Engine) -> None:
    browser = signed_in(engine, "reader")
    form = {"csrf_token": form_token_of(browser), "old": PASSWORD, "new": "short"}
    assert "12 to 1024" in browser.post("/password", data=form).text
    form["new"] = "another long password"
    assert browser.post("/password", data=form).headers["location"] == "/sign-in"
    assert browser.get("/password").status_code == 401
    assert sign_in(browser, "a.reader", "another long password") == 303
    assert client_of(engine).post("/password", data=form).status_code == 403


def test_a_disabled_account_is_out_at_once_with_its_tokens_and_may_not_sign_in(engine: Engine) -> None:
    browser, sender = signed_in(engine, "reader"), program(engine, "reader")
    assert sender.get("/api/v1/me").status_code == 200
    for name in ("a.reader", "program.reader"):
        Accounts(engine, actor="tests").disable(name)
    assert browser.get("/api/v1/me").status_code == 401
    assert sender.get("/api/v1/me").status_code == 401
    assert sign_in(stranger(engine), "a.reader") == 401
    Accounts(engine, actor="tests").enable("program.reader")
    assert sender.get("/api/v1/me").status_code == 200


def test_an_expired_token_opens_nothing(engine: Engine) -> None:
    sender = program(engine, "reader")
    _run(engine, "UPDATE access_token SET expires_at = now()")
    assert sender.get("/api/v1/me").status_code == 401


def test_another_role_holds_from_the_next_request_on(engine: Engine) -> None:
    sender = program(engine, "admin")
    with_account(engine, "second", "admin")
    assert sender.get("/api/v1/accounts").status_code == 200
    Accounts(engine, actor="tests").set_role("program.admin", "reader")
    assert sender.get("/api/v1/accounts").status_code == 403


def test_an_unknown_name_a_wrong_password_and_an_account_without_one_look_alike(engine: Engine) -> None:
    with_account(engine, "anna", "reader")
    Accounts(engine, actor="tests").add("robot", "reader")
    answers = [
        stranger(engine).post("/sign-in", data={"name": name, "password": "wrong password"})
        for name in ("anna", "nobody", "robot")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_a_name_that_nobody_has_costs_as_much_as_a_wrong_password(engine: Engine) -> None:
    with_account(engine, "anna", "reader")
    accounts = Accounts(engine, actor="tests")
    accounts.by_password("nobody", "the first makes what is verified for nobody")

    def cost(name: str) -> float:
        """CPU seconds of this process, the least of three."""
        spent = []
        for _ in range(3):
            since = time.process_time()
            assert accounts.by_password(name, "wrong password") is None
            spent.append(time.process_time() - since)
        return min(spent)

    assert 0.5 < cost("nobody") / cost("anna") < 2


def test_a_hash_of_older_parameters_is_made_anew_at_the_next_sign_in(engine: Engine) -> None:
    from argon2 import PasswordHasher

    with_account(engine, "anna", "reader")
    older = PasswordHasher(time_cost=1, memory_cost=8192).hash(PASSWORD)
    with engine.begin() as connection:
        connection.execute(text("UPDATE account SET password_hash = :kept"), {"kept": older})
    assert sign_in(stranger(engine), "anna") == 303
    assert "m=65536,t=3,p=4" in _rows(engine, "SELECT password_hash FROM account")[0].password_hash


def test_too_many_attempts_with_a_name_are_refused_even_with_the_right_password(engine: Engine) -> None:
    with_account(engine, "anna", "reader")
    browser = stranger(engine)
    for _ in range(10):
        assert sign_in(browser, "anna", "wrong password") == 401
    answer = browser.post("/sign-in", data={"name": "anna", "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 300
    with_account(engine, "berta", "reader")
    assert sign_in(browser, "berta") == 303  # another name is not held up


def test_an_account_may_ask_so_often_in_a_minute(engine: Engine) -> None:
    sender = program(engine, "reader", requests_per_minute=3)
    assert [sender.get("/api/v1/me").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert int(sender.get("/api/v1/me").headers["retry-after"]) <= 60


def test_unsafe_requests_of_a_session_need_its_form_token(engine: Engine) -> None:
    browser, other = signed_in(engine, "admin"), signed_in(engine, "indexer")
    account = {"name": "new", "role": "admin"}
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "é"}, {"X-CSRF-Token": form_token_of(other)}):
        sent = {name: value.encode() for name, value in headers.items()}
        assert browser.post("/api/v1/accounts", json=account, headers=sent).status_code == 403
    right = {"X-CSRF-Token": form_token_of(browser), "Origin": OWN}
    assert browser.post("/api/v1/accounts", json=account, headers=right).status_code == 201


def test_a_form_of_another_site_is_refused_even_with_the_token(engine: Engine) -> None:
    browser = signed_in(engine, "admin")
    headers = {"X-CSRF-Token": form_token_of(browser), "Origin": "https://evil.example"}
    assert browser.post("/api/v1/accounts", json={"name": "new"}, headers=headers).status_code == 403
    assert sign_in(stranger(engine), "a.admin") == 303
    form = {"name": "a.admin", "password": PASSWORD}  # nobody is signed in unawares as somebody else
    answer = stranger(engine).post("/sign-in", data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_an_ipv6_party_is_counted_once_however_it_changes_its_address() -> None:
    rates = Rates(requests_per_minute=1)
    for number in range(100):
        rates.count_address(f"2001:db8::{number:x}")
    with pytest.raises(TooManyError):
        rates.count_address("2001:db8::ffff")
    rates.count_address("2001:db8:0:1::1")
    rates.count_address("198.51.100.7")


def test_a_name_with_signs_that_no_database_keeps_is_refused_in_a_sentence(engine: Engine) -> None:
    for name in ("a\0b", "x" * 70_000, "\ud7ff", "'; DROP TABLE account; --"):
        assert sign_in(stranger(engine), name) in (401, 422)
    admin = program(engine, "admin")
    assert admin.get("/api/v1/accounts/a%00b/tokens").status_code == 422
    assert admin.get("/api/v1/audit", params={"case": "a\0"}).status_code == 422
    assert admin.get("/audit", params={"actor": "a\0"}).status_code == 422
    label = {"label": "a\0"}
    assert admin.post("/api/v1/accounts/program.admin/tokens", json=label).status_code == 422
