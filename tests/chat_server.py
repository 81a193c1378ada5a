"""A small real HTTP server that speaks the chat-completions protocol, well or badly."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Request"], None]


@dataclass
class Listening:
    """The server's address, and what it was asked."""

    address: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)  # set when the test ends

    @property
    def sent(self) -> str:
        """The last turn that it was sent."""
        return str(self.asked[-1]["messages"][-1]["content"])


class Request:
    """One request, as a server's answer sees it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], listening: Listening) -> None:
        self.handler = handler
        self.body = body
        self.listening = listening

    def start(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        self.handler.send_response(status)
        self.handler.send_header("content-type", kind)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def write(self, text: str) -> None:
        self.handler.wfile.write(text.encode())
        self.handler.wfile.flush()

    def event(self, data: object) -> None:
        self.write(f"data: {json.dumps(data)}\n\n")

    def piece(self, text: str, reason: str | None = None) -> None:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
        self.event({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [choice]})  # fmt: skip

    def error(self, status: int, message: str) -> None:
        self.start(status, "application/json")
        self.write(json.dumps({"error": {"message": message}}))


def saying(*pieces: str) -> Answer:
    """Answer well, in these pieces."""

    def answer(request: Request) -> None:
        request.start()
        for piece in pieces:
            request.piece(piece)
        request.piece("", "stop")
        request.write("data: [DONE]\n\n")

    return answer


@contextmanager
def chat_server(answer: Answer) -> Iterator[Listening]:
    """Serve on a free loopback port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            listening.asked.append(body)
            listening.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer(Request(self, body, listening))

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # whoever asked has hung up
            pass

    server = Server(("127.0.0.1", 0), Handler)
    listening = Listening(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield listening
    finally:
        listening.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
