"""Signing in through an identity provider: real HTTP, signed tokens, and tokens that are not good."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx2
import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey
from sqlalchemy import Engine, text

from encoders.errors import ConfigError
from tests.oidc_provider import CLIENT, SECRET, OidcProvider, oidc_provider
from tests.web_accounts import OWN, stranger, with_account
from web.access.accounts import Accounts
from web.access.oidc_settings import OidcSettings, oidc_settings


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as running:
        yield running


@pytest.fixture
def settings(provider: OidcProvider) -> OidcSettings:
    return OidcSettings(
        issuer=provider.address,
        client_id=CLIENT,
        client_secret=SECRET,
        roles={"ct-readers": "reader", "ct-admins": "admin"},
    )


@pytest.fixture
def browser(engine: Engine, settings: OidcSettings) -> TestClient:
    return stranger(engine, oidc=settings)


def _to_provider(browser: TestClient, going_to: str = "/") -> str:
    """Follow the button, and the provider's redirect: the address on which the browser comes back."""
    away = browser.get("/sign-in/provider", params={"next": going_to})
    assert away.status_code == 302
    back = httpx2.get(away.headers["location"], follow_redirects=False)
    return back.headers["location"].removeprefix(OWN)


def _signed_in(browser: TestClient, going_to: str = "/") -> httpx2.Response:
    return browser.get(_to_provider(browser, going_to))


def test_a_person_signs_in_with_the_role_of_their_group_and_is_led_on(browser: TestClient) -> None:
    answer = _signed_in(browser, "/map?collection=chest")
    assert answer.status_code == 200
    assert 'content="0;url=/map?collection=chest"' in answer.text
    assert browser.get("/api/v1/me").json() == {"name": "anna", "role": "reader"}


def test_the_account_is_found_again_and_takes_the_role_of_another_group(
    engine: Engine, browser: TestClient, provider: OidcProvider
) -> None:
    _signed_in(browser)
    provider.claims |= {"groups": ["ct-admins", "ct-readers", 7], "preferred_username": "renamed"}
    _signed_in(browser)
    assert browser.get("/api/v1/me").json() == {"name": "anna", "role": "admin"}
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT actor, action, detail FROM audit_event ORDER BY id")).all()
    assert [(row.actor, row.action) for row in rows] == [
        ("anna", "add account"),
        ("anna", "sign in"),
        ("anna", "change role"),
        ("anna", "sign in"),
    ]
    assert {row.detail["by"] for row in rows} == {provider.address}


def _wrong_key(provider: OidcProvider) -> None:
    provider.key = RSAKey.generate_key(2048, {"use": "sig", "kid": "one"})


SPOILT: dict[str, Callable[[OidcProvider], object]] = {
    "another nonce": lambda provider: provider.claims.update(nonce="another"),
    "no nonce": lambda provider: setattr(provider, "left_out", ("nonce",)),
    "another audience": lambda provider: provider.claims.update(aud="another", azp=CLIENT),
    "more audiences, another's": lambda provider: provider.claims.update(aud=["another"], azp="another"),
    "another issuer": lambda provider: provider.claims.update(iss="https://evil.example"),
    "expired": lambda provider: provider.claims.update(exp=1_000_000_000),
    "no end": lambda provider: setattr(provider, "left_out", ("exp",)),
    "no subject": lambda provider: setattr(provider, "left_out", ("sub",)),
    "signed by another key": _wrong_key,
    "not signed": lambda provider: setattr(provider, "algorithm", "none"),
    "signed with the public key as a shared one": lambda provider: setattr(provider, "algorithm", "HS256"),
    "no token": lambda provider: setattr(provider, "with_id_token", False),
    "no group with a role": lambda provider: provider.claims.update(groups=["others"]),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_token_that_is_not_good_opens_nothing(
    engine: Engine, browser: TestClient, provider: OidcProvider, spoil: Callable[[OidcProvider], object]
) -> None:
    spoil(provider)
    answer = _signed_in(browser)
    assert answer.status_code == 403
    assert 'role="alert"' in answer.text
    assert browser.get("/api/v1/me").status_code == 401
    assert Accounts(engine, actor="tests").all() == []


def test_an_answer_to_another_browsers_question_opens_nothing(
    engine: Engine, settings: OidcSettings, browser: TestClient
) -> None:
    mine = _to_provider(stranger(engine, oidc=settings))
    assert browser.get(mine).status_code == 403  # no state at all
    _to_provider(browser)
    assert browser.get(mine).status_code == 403  # another state
    assert browser.get("/sign-in/back").status_code == 403
    assert browser.get("/sign-in/back?error=access_denied&error_description=no").status_code == 403


def test_a_code_opens_once(browser: TestClient) -> None:
    back = _to_provider(browser)
    assert browser.get(back).status_code == 200
    assert browser.get(back).status_code == 403


def test_nobody_takes_the_account_of_that_name_over(engine: Engine, browser: TestClient) -> None:
    with_account(engine, "anna", "admin")
    assert _signed_in(browser).status_code == 409
    assert browser.get("/api/v1/me").status_code == 401


def test_a_disabled_account_is_refused_whatever_the_provider_says(
    engine: Engine, browser: TestClient
) -> None:
    _signed_in(browser)
    Accounts(engine, actor="tests").disable("anna")
    assert browser.get("/api/v1/me").status_code == 401
    assert _signed_in(browser).status_code == 403


def test_a_default_role_begins_an_account_and_leaves_what_an_admin_gave(
    engine: Engine, settings: OidcSettings
) -> None:
    browser = stranger(engine, oidc=replace(settings, roles={}, default_role="reader"))
    _signed_in(browser)
    Accounts(engine, actor="tests").set_role("anna", "indexer")
    _signed_in(browser)
    assert browser.get("/api/v1/me").json()["role"] == "indexer"


def test_a_provider_that_calls_itself_something_else_or_is_away_is_one_sentence(
    engine: Engine, settings: OidcSettings, provider: OidcProvider
) -> None:
    provider.issuer = "https://evil.example"
    answer = stranger(engine, oidc=settings).get("/sign-in/provider")
    assert answer.status_code == 503
    assert "calls itself" in answer.text
    away = replace(settings, issuer="http://127.0.0.1:9")
    assert stranger(engine, oidc=away).get("/sign-in/provider").status_code == 503


RIGHT = {
    "CTSEARCH_OIDC_ISSUER": "https://id.example",
    "CTSEARCH_OIDC_CLIENT_ID": "ctsearch",
    "CTSEARCH_OIDC_CLIENT_SECRET": "secret",
    "CTSEARCH_OIDC_ROLES": "cn=readers=reader, ct-admins=admin",
}


def test_the_environment_names_the_provider_and_its_secret_is_not_shown() -> None:
    assert oidc_settings({}) is None
    found = oidc_settings(RIGHT)
    assert found.roles == {"cn=readers": "reader", "ct-admins": "admin"}
    assert found.default_role is None
    assert "'secret'" not in repr(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"CTSEARCH_OIDC_CLIENT_SECRET": ""}, "CTSEARCH_OIDC_CLIENT_SECRET not"),
        ({"CTSEARCH_OIDC_ISSUER": "http://id.example"}, "give an https address"),
        ({"CTSEARCH_OIDC_ROLES": ""}, "nobody would get a role"),
        ({"CTSEARCH_OIDC_ROLES": "ct-readers"}, "write pairs"),
        ({"CTSEARCH_OIDC_ROLES": "ct-readers=owner"}, "there is no role 'owner'"),
        ({"CTSEARCH_OIDC_DEFAULT_ROLE": "owner", "CTSEARCH_OIDC_ROLES": ""}, "there is no role 'owner'"),
    ],
)
def test_settings_that_will_not_do_are_one_sentence(change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        oidc_settings(RIGHT | change)
