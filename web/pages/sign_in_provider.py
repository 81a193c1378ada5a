"""Signing in with an organisation's account: to the identity provider and back."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from encoders.errors import CtsearchError
from web.access.gate import address_of
from web.access.oidc_settings import OidcSettings
from web.access.provided_accounts import provided_account
from web.access.provider import Provider
from web.access.session_cookie import set_cookie
from web.access.sign_in_form import local_path, sign_in_page
from web.desk import desk_of
from web.pages.sign_in import open_session
from web.problems import NotFoundError, status_of
from web.templating import page

router = APIRouter(tags=["pages"])

_GOING_TO = "going_to"


@router.get("/sign-in/provider")
async def leave(request: Request, next: str = "/") -> Response:  # noqa: A002 - as addresses have it
    """Lead the browser to the provider."""
    provider = _provider(request)
    request.app.state.rates.count_address(address_of(request))
    answer = await provider.leave_for(request, str(request.url_for("come_back")))
    request.session[_GOING_TO] = local_path(next)
    return answer


@router.get("/sign-in/back")
async def come_back(request: Request) -> Response:
    """Open a session for whom the provider vouches.

    The browser comes from another site, and sends no SameSite=Strict cookie on along redirects from there: a
    page of our own leads it on.
    """
    provider = _provider(request)
    request.app.state.rates.count_address(address_of(request))
    desk = desk_of(request)
    going_to = local_path(str(request.session.pop(_GOING_TO, "/")))
    try:
        claims = await provider.claims(request)
        account = await run_in_threadpool(provided_account, desk.engine, _settings(request), claims)
    except CtsearchError as error:
        status = status_of(error)
        return sign_in_page(request, desk.settings, going_to=going_to, sentence=str(error), status=status)
    cookie = await run_in_threadpool(open_session, request, account, by=_settings(request).issuer)
    answer = page(request, "signed_in.html", {"going_to": going_to})
    set_cookie(request, answer, desk.settings, cookie)
    return answer


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise NotFoundError("no identity provider signs in here: take a name and its password")
    return provider


def _settings(request: Request) -> OidcSettings:
    settings = desk_of(request).settings.oidc
    if settings is None:
        raise NotFoundError("no identity provider signs in here")
    return settings
