"""How much a request may send; uploads have a limit of their own."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import TooLargeError, answer_error
from web.settings import WebSettings

BODY_BYTES = 2**20
_UPLOADS = "/api/v1/uploads"
_PARTS_BYTES = 2**26  # names and headers of the parts of an upload: thousands of DICOM files


class BodyLimit:
    """ASGI middleware: refuses a body that says it is too long, and one that turns out to be."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._upload_bytes = settings.largest_upload_bytes + _PARTS_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and answer it where its body is too long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _CountedBody(receive, send, self._upload_bytes if scope["path"] == _UPLOADS else BODY_BYTES)
        if not body.says_too_long(scope):
            try:
                await self._app(scope, body.receive, body.send)
            except TooLargeError:
                if not body.too_long:
                    raise
        if body.too_long and not body.answered:
            error = TooLargeError(f"the request is longer than {body.limit:,} bytes: send less")
            answer = answer_error(Request(scope), error)
            answer.headers["Connection"] = "close"  # the rest of the body is not read
            await answer(scope, receive, send)


class _CountedBody:
    """A body on its way in; what the application makes of one cut short does not go out."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self.limit = limit
        self.too_long = False
        self.answered = False
        self._receive, self._send = receive, send
        self._bytes = 0

    def says_too_long(self, scope: Scope) -> bool:
        """Whether Content-Length is over the limit."""
        said = dict(scope["headers"]).get(b"content-length", b"0")
        self.too_long = said.isdigit() and int(said[:20]) > self.limit
        return self.too_long

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self.limit:
            self.too_long = True
            raise TooLargeError("the body is over its limit")
        return message

    async def send(self, message: Message) -> None:
        if self.too_long and not self.answered:
            return
        self.answered = True
        await self._send(message)
