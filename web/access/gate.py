"""Looks at every request before any endpoint does: its Host, its session or token, its form token."""

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from encoders.errors import CtsearchError
from web.access.caller import Caller
from web.access.credentials import Credentials
from web.access.forms import check_form_token
from web.access.origins import check_host, check_origin, check_proxy
from web.access.security_headers import SecurityHeaders
from web.access.session_cookie import new_cookie_value, sent_cookie, set_cookie
from web.access.start_token import StartTokenCredentials
from web.problems import SignInNeededError, answer_problem, status_of
from web.settings import WebSettings

PUBLIC = frozenset(
    {"/sign-in", "/api/v1/health/live", "/api/v1/health/ready", "/static/ctsearch.css", "/favicon.ico"}
)
"""What answers without a session: signing in, the files of that page, and health."""


def add_gate(app: FastAPI, settings: WebSettings) -> None:
    """Put the gate before an application's endpoints."""
    token = settings.start_token or new_cookie_value()  # one that nobody has
    app.state.credentials = StartTokenCredentials(token)
    app.add_middleware(Gate, settings=settings, credentials=app.state.credentials)
    app.add_middleware(SecurityHeaders, over_tls=settings.behind_proxy)


class Gate:
    """ASGI middleware; it sets `request.state.caller` where somebody is signed in, and refuses who is not."""

    def __init__(self, app: ASGIApp, settings: WebSettings, credentials: Credentials) -> None:
        self._app = app
        self._settings = settings
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            check_host(request, self._settings)
            check_proxy(request, self._settings)
            check_origin(request)
            answer = self._opened(request)
            if answer is None:
                receive = await self._admitted(request)
        except CtsearchError as error:
            answer = answer_problem(request, status_of(error), str(error))
        await (answer or self._app)(scope, receive, send)

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

    async def _admitted(self, request: Request) -> Receive:
        """Note who asks, and return where the body is to be read from.

        Raises:
            SignInNeededError: nobody is signed in, and this is not public.
            ForbiddenError: a browser's request changes something and is not from a form of its session.
        """
        caller, by_cookie = await run_in_threadpool(self._caller, request)
        request.state.caller = caller
        if caller is None and request.url.path not in PUBLIC:
            raise SignInNeededError("this needs a session: sign in, or send a token as Authorization: Bearer")
        return await check_form_token(request, caller) if caller and by_cookie else request.receive

    def _caller(self, request: Request) -> tuple[Caller | None, bool]:
        """Return who asks, and whether a cookie says so: a browser sends it whoever wrote the page."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._credentials.by_bearer(bearer.strip()), False
        cookie = sent_cookie(request, self._settings)
        return (None if cookie is None else self._credentials.by_cookie(cookie)), True


def _without_token(request: Request) -> str:
    rest = request.url.remove_query_params("token")
    return f"{rest.path}?{rest.query}" if rest.query else rest.path
