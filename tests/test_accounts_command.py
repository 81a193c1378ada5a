"""`ctsearch accounts`, as an operator types it."""

import io
import sys

import pytest
from sqlalchemy import Engine

from tests.command import Command
from tests.web_accounts import PASSWORD, sign_in, stranger


@pytest.fixture
def ctsearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Command:
    """The command, against a fresh archive; a password waits on stdin."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
    return Command(capsys, monkeypatch)


def test_an_account_is_made_listed_changed_and_disabled(ctsearch: Command, engine: Engine) -> None:
    assert ctsearch("accounts", "add", "Anna", "--role", "admin", "--password-stdin").out == (
        "anna may sign in as admin\n"
    )
    assert sign_in(stranger(engine), "anna") == 303
    assert ctsearch("accounts", "add", "robot", "--no-password").code == 0
    assert ctsearch("accounts", "role", "robot", "indexer").out == "robot is indexer\n"
    listed = ctsearch("accounts", "list", "--json").json["accounts"]
    assert [(each["name"], each["role"], each["has_password"]) for each in listed] == [
        ("anna", "admin", True),
        ("robot", "indexer", False),
    ]
    assert "tokens alone" in ctsearch("accounts", "list").out
    assert ctsearch("accounts", "disable", "robot").code == 0
    assert ctsearch("accounts", "enable", "robot").out == "robot may sign in again as indexer\n"
    refused = ctsearch("accounts", "disable", "anna")
    assert (refused.code, refused.err) == (
        1,
        "ctsearch: anna is the only admin: make another one first\n",
    )


def test_a_token_is_alone_on_stdout_and_listed_without_itself(ctsearch: Command, engine: Engine) -> None:
    ctsearch("accounts", "add", "robot", "--no-password")
    made = ctsearch("accounts", "token", "robot", "--label", "night import", "--days", 7)
    token = made.out.strip()
    assert token.startswith("ctsearch_")
    bearer = {"Authorization": f"Bearer {token}"}
    assert stranger(engine).get("/api/v1/me", headers=bearer).status_code == 200
    listed = ctsearch("accounts", "tokens", "--json")
    assert token not in listed.out
    number = listed.json["tokens"][0]["id"]
    assert ctsearch("accounts", "revoke", number).code == 0
    assert stranger(engine).get("/api/v1/me", headers=bearer).status_code == 401
    assert ctsearch("accounts", "revoke", number).code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "a b", "--password-stdin"), "cannot name an account"),
        (("add", "anna", "--role", "owner", "--password-stdin"), "there is no role 'owner'"),
        (("role", "nobody", "admin"), "there is no account 'nobody'"),
        (("token", "nobody", "--label", "x"), "there is no account 'nobody'"),
    ],
)
def test_what_will_not_do_is_one_sentence(ctsearch: Command, arguments: tuple[str, ...], said: str) -> None:
    finished = ctsearch("accounts", *arguments)
    assert finished.code in (1, 2)
    assert finished.err.startswith("ctsearch: ")
    assert finished.err.count("\n") == 1
    assert said in finished.err


def test_a_short_password_is_refused(ctsearch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert "12 to 1024" in ctsearch("accounts", "add", "anna", "--password-stdin").err
