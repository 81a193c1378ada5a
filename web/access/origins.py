"""Where a request comes from and to whom it is addressed: DNS rebinding, other sites' forms, proxies."""

from urllib.parse import urlsplit

from starlette.requests import Request

from web.problems import ForbiddenError, WebError
from web.settings import WebSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_USUAL_PORTS = {"http": 80, "https": 443}


class HostError(WebError):
    """The Host header names something that this server is not."""


def check_host(request: Request, settings: WebSettings) -> None:
    """Refuse a name that is not this server's: a page elsewhere may let its own name point here.

    Raises:
        HostError: the Host header is missing, unreadable or not allowed.
    """
    sent = request.headers.get("host", "")
    name = _address(f"//{sent}")
    if name is None or name[0] not in settings.allowed_hosts:
        raise HostError(
            f"this server does not answer to the name {sent!r}: open it by the address it was started with, "
            "or start it with --allowed-host"
        )


def check_proxy(request: Request, settings: WebSettings) -> None:
    """Refuse what came through a proxy where the start-up token opens everything.

    Raises:
        ForbiddenError: a header says so.
    """
    if settings.start_token is None:
        return
    found = next((name for name in _FORWARDED if name in request.headers), None)
    if found is not None:
        raise ForbiddenError(
            f"the request came through a proxy ({found}) and this server was started for its own machine "
            "alone: start it with --behind-proxy, which demands accounts"
        )


def check_origin(request: Request) -> None:
    """Refuse an unsafe method that a page of another site sends.

    Raises:
        ForbiddenError: Origin or Sec-Fetch-Site says that it does.
    """
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    own = _address(f"//{request.headers.get('host', '')}", scheme=request.url.scheme)
    if origin is not None and (_address(origin) != own or urlsplit(origin).scheme != request.url.scheme):
        raise ForbiddenError(
            f"the request was sent by a page of {origin!r}, and this server is "
            f"{request.url.scheme}://{request.headers.get('host', '')}: only its own pages change anything"
        )
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForbiddenError(
            "the request was sent by a page of another site: only own pages may change anything"
        )


def _address(url: str, scheme: str = "") -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _USUAL_PORTS.get(parts.scheme or scheme)
    except ValueError:
        return None
    plain = not parts.path and not parts.query and not parts.fragment and parts.username is None
    return (parts.hostname, port) if parts.hostname and plain else None
