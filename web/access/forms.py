"""Forms: what a browser's session sends must say that a page of that session sent it."""

import hmac
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.types import Message, Receive

from web.access.caller import Caller
from web.access.origins import SAFE_METHODS
from web.problems import ForbiddenError, TooLargeError

FIELD = "csrf_token"
HEADER = "x-csrf-token"
_FORM_BYTES = 2**20


async def check_form_token(request: Request, caller: Caller) -> Receive:
    """Return where the body is to be read from, once the form token is found in the header or in a field.

    A field is looked for in plain forms alone; whoever sends files sends the header.

    Raises:
        ForbiddenError: the token is missing or another session's.
        TooLargeError: a form is longer than 1 MiB.
    """
    if request.method in SAFE_METHODS:
        return request.receive
    sent, receive = request.headers.get(HEADER), request.receive
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent is None and kind == "application/x-www-form-urlencoded":
        body = await _whole_body(request)
        sent = parse_qs(body.decode("latin-1")).get(FIELD, [None])[0]
        receive = _again(body, receive)
    if sent is None or not hmac.compare_digest(sent.encode(), caller.csrf_token.encode()):
        raise ForbiddenError("the request lacks the form token of this session: load the page again")
    return receive


async def _whole_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            raise TooLargeError(f"the form is longer than {_FORM_BYTES:,} bytes")
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read once more, then go on with what the browser does."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
