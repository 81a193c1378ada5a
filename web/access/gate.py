"""Looks at every request before any endpoint does: its Host, its session or token, its form token."""

import hmac
import secrets

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.access.caller import Caller
from web.settings import WebSettings

COOKIE = "ctsearch_session"


def add_gate(app: FastAPI, settings: WebSettings) -> None:
    """Put the gate before an application's endpoints."""
    app.add_middleware(Gate, settings=settings)


class Gate:
    """ASGI middleware; it sets `request.state.caller` where somebody is signed in."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._settings = settings
        self._form_token = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        token = self._settings.start_token
        given = request.query_params.get("token")
        if token is not None and given is not None and hmac.compare_digest(given, token):
            response = RedirectResponse(str(request.url.remove_query_params("token")))
            response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            await response(scope, receive, send)
            return
        if token is not None and hmac.compare_digest(_sent(request), token):
            scope.setdefault("state", {})["caller"] = Caller(
                name="local", role="admin", csrf_token=self._form_token
            )
        await self._app(scope, receive, _with_headers(send))


def _sent(request: Request) -> str:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return bearer if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")


def _with_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return add
