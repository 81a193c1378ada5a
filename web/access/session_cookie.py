"""The cookie of a browser that is signed in, and the token that its forms send back."""

import base64
import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response

from web.settings import WebSettings


def new_cookie_value() -> str:
    """Return a value that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


def cookie_name(request: Request, settings: WebSettings) -> str:
    """Return the cookie's name; browsers keep no cookies apart by port, so the port is in it."""
    return f"__Host-ctsearch-{settings.port}" if _over_tls(request) else f"ctsearch-{settings.port}"


def sent_cookie(request: Request, settings: WebSettings) -> str | None:
    """Return the value that the browser sent."""
    return request.cookies.get(cookie_name(request, settings)) or None


def set_cookie(request: Request, response: Response, settings: WebSettings, value: str) -> None:
    """Give a browser its session; no script sees it, and no other site's request carries it."""
    name = cookie_name(request, settings)
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=_over_tls(request))


def delete_cookie(request: Request, response: Response, settings: WebSettings) -> None:
    """Take the session from a browser."""
    name = cookie_name(request, settings)
    response.delete_cookie(name, httponly=True, samesite="strict", secure=_over_tls(request))


def form_token(cookie: str) -> str:
    """Return what forms of a session send back: it follows from the cookie, and no cookie from it."""
    digest = hmac.digest(cookie.encode(), b"form", "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _over_tls(request: Request) -> bool:
    return request.url.scheme == "https"
