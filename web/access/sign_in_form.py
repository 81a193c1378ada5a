"""The page that signs in: at its own address, and in the place of any page that needs a session."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from web.problems import SignInNeededError
from web.settings import WebSettings
from web.templating import page

ADDRESS = "/sign-in"


def sign_in_page(
    request: Request,
    settings: WebSettings,
    *,
    going_to: str,
    sentence: str | None = None,
    status: int = 200,
) -> Response:
    """Return the page with the form.

    A browser sends no SameSite=Strict cookie with a request that another site's link makes. What comes from
    such a link is answered with a page that asks once more, then as a request of our own.
    """
    known = {
        "going_to": local_path(going_to),
        "sentence": sentence,
        "by_token": settings.start_token is not None,
        "by_provider": settings.oidc is not None,
        "again": request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET",
    }
    return page(request, "sign_in.html", known, status=status)


def sign_in_needed(request: Request, settings: WebSettings) -> Response:
    """Return the 401: the form to a browser that wants a page, a sentence to everything else."""
    wants_page = "text/html" in request.headers.get("accept", "")
    path = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    if wants_page and not request.url.path.startswith("/api/"):
        return sign_in_page(request, settings, going_to=path if request.method == "GET" else "/", status=401)
    error = SignInNeededError()
    answer = JSONResponse({"error": str(error)}, status_code=error.status)
    answer.headers["WWW-Authenticate"] = "Bearer"
    if "hx-request" in request.headers:  # the page that is open shows the form
        answer.headers["HX-Redirect"] = ADDRESS
    return answer


def local_path(address: str) -> str:
    """Return the address if it is a path of this server, else the first page: nobody is led elsewhere."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    odd = any(ord(sign) < 0x21 or ord(sign) == 0x7F or sign == "\\" for sign in address)
    here = address.startswith("/") and not address.startswith("//")
    return address if here and not parts.scheme and not parts.netloc and not odd else "/"
