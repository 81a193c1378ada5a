"""The application over a real archive, for tests: in process, or served to a browser."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from web.app import create_app
from web.settings import WebSettings

TOKEN = "start-up token of the tests"


def client_of(engine: Engine, *, token: str | None = TOKEN, **settings) -> TestClient:
    """A client of the application in this process; it sends the start-up token unless it is None."""
    app = create_app(WebSettings(start_token=TOKEN, **settings), engine)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return TestClient(app, base_url="http://127.0.0.1:8080", headers=headers)


@contextmanager
def served(engine: Engine, **settings) -> Iterator[str]:
    """The address, with its start-up token, of the application in a thread of its own."""
    with running(engine, start_token="served", **settings) as origin:
        yield f"{origin}/?token=served"


@contextmanager
def running(engine: Engine, **settings) -> Iterator[str]:
    """The origin of the application in a thread of its own."""
    config = uvicorn.Config(create_app(WebSettings(**settings), engine), port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
