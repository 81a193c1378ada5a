"""Accounts for tests: a client that demands them, and people who signed in."""

from fastapi.testclient import TestClient
from sqlalchemy import Engine

from web.access.access_tokens import AccessTokens
from web.access.accounts import Accounts
from web.app import create_app
from web.settings import WebSettings

PASSWORD = "correct horse battery"
OWN = "http://127.0.0.1:8080"


def stranger(engine: Engine, **settings) -> TestClient:
    """A client of an application that demands accounts, not signed in; redirects are not followed."""
    app = create_app(WebSettings(start_token=None, **settings), engine)
    return TestClient(app, base_url=OWN, follow_redirects=False)


def with_account(engine: Engine, name: str, role: str) -> str:
    """Make an account with the tests' password, and return its name."""
    return Accounts(engine, actor="tests").add(name, role, password=PASSWORD).name


def signed_in(engine: Engine, role: str, **settings) -> TestClient:
    """A browser in which an account of that role signed in; it is named after the role."""
    browser = stranger(engine, **settings)
    name = with_account(engine, f"a.{role}", role)
    sign_in(browser, name)
    return browser


def sign_in(browser: TestClient, name: str, password: str = PASSWORD) -> int:
    """Fill the form; return the status."""
    return browser.post(
        "/sign-in", data={"name": name, "password": password}, headers={"Origin": OWN}
    ).status_code


def form_token_of(browser: TestClient) -> str:
    """What pages of the browser's session send back."""
    from web.access.session_cookie import form_token

    return form_token(browser.cookies["ctsearch-8080"])


def program(engine: Engine, role: str, **settings) -> TestClient:
    """A client that sends a token of an account of that role."""
    name = with_account(engine, f"program.{role}", role)
    token, _ = AccessTokens(engine, actor="tests").make(name, label="tests", days=1)
    client = stranger(engine, **settings)
    client.headers["Authorization"] = f"Bearer {token}"
    return client
