"""Looks at every request before any endpoint does: its Host, its session or token, its form token."""

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from encoders.errors import CtsearchError
from web.access.account_sessions import AccountCredentials
from web.access.bodies import BodyLimit
from web.access.caller import Caller
from web.access.credentials import Credentials
from web.access.forms import check_form_token
from web.access.origins import check_host, check_origin, check_proxy
from web.access.provider import Provider
from web.access.rates import Rates
from web.access.security_headers import SecurityHeaders
from web.access.session_cookie import new_cookie_value, sent_cookie, set_cookie
from web.access.sign_in_form import local_path, sign_in_needed
from web.access.start_token import StartTokenCredentials
from web.problems import answer_error
from web.settings import WebSettings

PUBLIC = frozenset(
    {
        "/sign-in",
        "/sign-in/provider",
        "/sign-in/back",
        "/api/v1/health/live",
        "/api/v1/health/ready",
        "/static/accounts.css",
        "/static/ctsearch.css",
        "/static/icon.svg",
        "/static/page.js",
        "/static/theme.js",
        "/static/vendor/htmx/htmx.min.js",
    }
)
"""What answers without a session: signing in, the files of that page, and health."""

_ON_THE_WAY_S = 600  # to the identity provider and back


def add_gate(app: FastAPI, settings: WebSettings) -> None:
    """Put the gate before an application's endpoints; `app.state.desk` is there already."""
    app.state.rates = Rates(settings.requests_per_minute)
    app.state.credentials = (
        AccountCredentials(app.state.desk.engine, settings)
        if settings.start_token is None
        else StartTokenCredentials(settings.start_token)
    )
    app.state.provider = None if settings.oidc is None else Provider(settings.oidc)
    if settings.oidc is not None:
        app.add_middleware(
            SessionMiddleware,
            secret_key=new_cookie_value(),  # a sign-in that a restart cuts short begins anew
            session_cookie=f"ctsearch-provider-{settings.port}",
            max_age=_ON_THE_WAY_S,
            path="/sign-in",
            same_site="lax",  # the browser comes back from another site
            https_only=settings.behind_proxy,
        )
    app.add_middleware(Gate, settings=settings, credentials=app.state.credentials, rates=app.state.rates)
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(SecurityHeaders, over_tls=settings.behind_proxy)


class Gate:
    """ASGI middleware; it sets `request.state.caller` where somebody is signed in, and refuses who is not."""

    def __init__(self, app: ASGIApp, settings: WebSettings, credentials: Credentials, rates: Rates) -> None:
        self._app = app
        self._settings = settings
        self._credentials = credentials
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "websocket":  # there are none here
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await self._refused(request)
            if answer is None:
                receive = await self._with_form_token(request)
        except CtsearchError as error:
            answer = answer_error(request, error)
        await (answer or self._app)(scope, receive, send)

    async def _refused(self, request: Request) -> Response | None:
        """Note who asks, and return the answer of the gate itself where there is one.

        Raises:
            WebError: the request is not addressed to this server, another site's, or one too many.
        """
        check_host(request, self._settings)
        check_proxy(request, self._settings)
        check_origin(request)
        opened = self._opened(request)
        if opened is not None or request.scope["path"] in PUBLIC:
            return opened
        caller = await run_in_threadpool(self._caller, request)
        request.state.caller = caller
        if not request.scope["path"].startswith("/static/"):
            self._rates.count_request(caller, address_of(request))
        return sign_in_needed(request, self._settings) if caller is None else None

    def _opened(self, request: Request) -> Response | None:
        """Turn the token of the printed address into a cookie; the address loses it at once."""
        given = request.query_params.get("token")
        if given is None or not isinstance(self._credentials, StartTokenCredentials):
            return None
        cookie = self._credentials.open(given)
        if cookie is None:
            return None
        response = RedirectResponse(_without_token(request), status_code=303)
        set_cookie(request, response, self._settings, cookie)
        return response

    def _caller(self, request: Request) -> Caller | None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._credentials.by_bearer(bearer.strip())
        cookie = sent_cookie(request, self._settings)
        return None if cookie is None else self._credentials.by_cookie(cookie)

    async def _with_form_token(self, request: Request) -> Receive:
        """Return where the body is to be read from; a browser sends cookies whoever wrote the page.

        Raises:
            ForbiddenError: it changes something and is not from a form of its session.
        """
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None or not caller.csrf_token:
            return request.receive
        return await check_form_token(request, caller)


def address_of(request: Request) -> str:
    """Return the address that asks: the proxy's word for it where that is believed."""
    return request.client.host if request.client else "unknown"


def _without_token(request: Request) -> str:
    rest = request.url.remove_query_params("token")
    return local_path(f"{rest.path}?{rest.query}" if rest.query else rest.path)
