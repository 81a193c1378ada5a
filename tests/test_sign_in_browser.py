"""Signing in, accounts and the audit in a real Chromium; attacks from a page of another site."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from tests.browser import browser, keep
from tests.oidc_provider import CLIENT, SECRET, oidc_provider
from tests.web_accounts import PASSWORD, with_account
from tests.web_app import running
from web.access.accounts import Accounts
from web.access.oidc_settings import OidcSettings

__all__ = ["browser"]  # a fixture

AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose policy is broken by nothing; other sites are part of these tests."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    broken: list[str] = []
    opened.on(
        "console", lambda said: broken.append(said.text) if "Content Security Policy" in said.text else None
    )
    yield opened
    context.close()
    assert broken == []


@contextmanager
def _another_site(document: str) -> Iterator[str]:
    """A page at localhost, which is another site than 127.0.0.1."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = document.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _sign_in(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def _violations(page: Page) -> list[str]:
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")
    return [f"{each['id']}: {node['html'][:90]}" for each in found["violations"] for node in each["nodes"]]


def test_an_admin_signs_in_where_the_page_was_and_makes_an_account(engine: Engine, page: Page) -> None:
    with_account(engine, "anna", "admin")
    with running(engine) as origin:
        answer = page.goto(f"{origin}/accounts")
        assert answer.status == 401
        assert _violations(page) == []
        keep(page, "sign-in")
        _sign_in(page, "anna")
        expect(page).to_have_url(f"{origin}/accounts")
        page.get_by_label("Name").fill("Berta")
        page.locator("form.stacked").get_by_label("Role").select_option("indexer")
        page.get_by_role("button", name="Make the account").click()
        expect(page.get_by_role("rowheader", name="berta")).to_be_visible()
        page.get_by_label("What it is for").fill("night import")
        page.get_by_role("button", name="Make the token").click()
        expect(page.get_by_label("The new token")).to_contain_text("ctsearch_")
        assert _violations(page) == []
        keep(page, "accounts")
        page.get_by_role("link", name="Who saw which case").click()
        expect(page.get_by_role("cell", name="make token")).to_be_visible()
        assert _violations(page) == []
        keep(page, "audit")
        page.get_by_role("link", name="anna · admin").click()
        expect(page.get_by_role("heading", name="Another password")).to_be_visible()
        assert _violations(page) == []
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert page.goto(f"{origin}/accounts").status == 401


def test_another_sites_form_changes_nothing_and_its_link_opens_the_page(engine: Engine, page: Page) -> None:
    with_account(engine, "anna", "admin")
    with_account(engine, "berta", "reader")
    with running(engine) as origin:
        page.goto(f"{origin}/sign-in?next=/accounts")
        _sign_in(page, "anna")
        expect(page).to_have_url(f"{origin}/accounts")
        attack = (
            f'<form method="post" action="{origin}/accounts/disable"><input name="name" value="berta">'
            f'<button>Win a prize</button></form><a href="{origin}/audit">The audit</a>'
        )
        with _another_site(attack) as elsewhere:
            page.goto(elsewhere)
            with page.expect_navigation() as navigation:
                page.get_by_role("button", name="Win a prize").click()
            assert navigation.value.status == 403
            assert Accounts(engine, actor="tests").named("berta").disabled_at is None
            page.goto(elsewhere)
            page.get_by_role("link", name="The audit").click()
            expect(page.get_by_role("heading", name="Who saw which case")).to_be_visible()


def test_an_organisations_account_leads_to_the_provider_and_back_to_where_one_was_going(
    engine: Engine, page: Page
) -> None:
    with oidc_provider() as provider:
        settings = OidcSettings(
            issuer=provider.address, client_id=CLIENT, client_secret=SECRET, roles={"ct-admins": "admin"}
        )
        provider.claims["groups"] = ["ct-admins"]
        with running(engine, oidc=settings) as origin:
            page.goto(f"{origin}/audit?actor=anna")
            assert _violations(page) == []
            page.get_by_role("link", name="Sign in with your organisation's account").click()
            expect(page).to_have_url(f"{origin}/audit?actor=anna")
            expect(page.get_by_role("cell", name="sign in", exact=True)).to_be_visible()
