"""The web under load: `ctsearch serve` in a process of its own, clients in threads of this one."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from statistics import quantiles
from urllib.parse import urlsplit

import numpy as np

from retrieval.cases import Report
from tests.benchmarks.archive import Archive
from tests.benchmarks.words import QUESTIONS, with_reports

CLIENTS = 16
SEARCH_P95_MS, PAGE_MS = 300.0, 1000.0
_SECONDS = 20.0  # of each load
_STARTED_S = 120.0
_ADDRESS = re.compile(r"http://\S+")

Request = tuple[str, str, bytes | None]  # method, path, body


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTime:
    """What so many clients, each asking again after a pause, waited for their answers."""

    what: str
    clients: int
    pause_s: float  # of each client after an answer, on average
    requests: int
    per_second: float
    p50_ms: float
    p95_ms: float
    ranking_p50_ms: float | None  # what the answer itself says it took
    budget_ms: float | None


def with_any_reports(archive: Archive) -> Archive:
    """Return an archive with the real reports in turn; with drawn ones where they are not at hand."""
    real = with_reports(archive)
    if real is not None:
        return real
    sentences = [f"{question[0].upper()}{question[1:]}." for question in QUESTIONS]
    rng = np.random.default_rng(0)
    reports = tuple(
        Report(name=study, findings=" ".join(rng.choice(sentences, 4)), impression="")
        for study in archive.study
    )
    return replace(archive, report=reports)


def served_times(archive: Archive) -> list[ServedTime]:
    """Serve the archive that the environment names, and ask it in several ways."""
    words = [_body({"text": text, "legs": ["text"]}) for text in QUESTIONS]
    rng = np.random.default_rng(0)
    cases = [_body({"case": archive.volume[row]}) for row in rng.choice(len(archive), 200)]
    first_page: list[Request] = [("GET", "/", None)]
    hit_page: list[Request] = [
        ("GET", f"/?text={text.replace(' ', '+')}&leg=text", None) for text in QUESTIONS
    ]
    with _serving() as (host, port, token):
        ask = _Load(host, port, token)
        ask.warm([*words, *cases[:5], *first_page])
        return [
            ask.load("text search", words, clients=1, budget_ms=SEARCH_P95_MS),
            ask.load("text search", words, pause_s=10.0, budget_ms=SEARCH_P95_MS),
            ask.load("text search", words, budget_ms=SEARCH_P95_MS),
            ask.load("search by a stored latent", cases, budget_ms=SEARCH_P95_MS),
            ask.load("first page", first_page, clients=1, budget_ms=PAGE_MS),
            ask.load("page with hits", hit_page, clients=1, budget_ms=PAGE_MS),
            ask.load("page with hits", hit_page, pause_s=10.0, budget_ms=PAGE_MS),
        ]


class _Load:
    def __init__(self, host: str, port: int, token: str) -> None:
        self._host, self._port = host, port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def warm(self, requests: Sequence[Request]) -> None:
        """Let the snapshot be read and connections opened."""
        connection = HTTPConnection(self._host, self._port, timeout=300)
        for request in requests:
            self._asked(connection, request)

    def load(
        self,
        what: str,
        requests: Sequence[Request],
        *,
        clients: int = CLIENTS,
        pause_s: float = 0.0,
        budget_ms: float | None = None,
    ) -> ServedTime:
        """Ask for a while; every client has a connection of its own and begins elsewhere in the list."""
        taken: list[tuple[float, float | None]] = []
        until = time.monotonic() + _SECONDS

        def client(number: int) -> None:
            connection, rng = (
                HTTPConnection(self._host, self._port, timeout=300),
                np.random.default_rng(number),
            )
            time.sleep(rng.uniform(0, pause_s))
            for place in range(number, 10**9):
                if time.monotonic() > until:
                    return
                taken.append(self._asked(connection, requests[place % len(requests)]))
                if pause_s:
                    connection.close()  # the server would, after some seconds; the next request opens another
                    time.sleep(rng.exponential(pause_s))

        _together(client, clients)
        times = [ms for ms, _ in taken]
        ranked = [ms for _, ms in taken if ms is not None]
        return ServedTime(
            what=what,
            clients=clients,
            pause_s=pause_s,
            requests=len(times),
            per_second=len(times) / _SECONDS,
            p50_ms=_percentile(times, 50),
            p95_ms=_percentile(times, 95),
            ranking_p50_ms=_percentile(ranked, 50) if ranked else None,
            budget_ms=budget_ms,
        )

    def _asked(self, connection: HTTPConnection, request: Request) -> tuple[float, float | None]:
        method, path, body = request
        start = time.perf_counter()
        connection.request(method, path, body, self._headers)
        answer = connection.getresponse()
        content = answer.read()
        ms = 1000 * (time.perf_counter() - start)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return ms, json.loads(content)["took_ms"] if path.startswith("/api/") else None


def _body(asked: dict[str, object]) -> Request:
    return "POST", "/api/v1/search", json.dumps(asked).encode()


def _together(client: Callable[[int], None], count: int) -> None:
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            client(number)
        except BaseException as error:  # a client that failed must not look like one that was quick
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


@contextmanager
def _serving() -> Iterator[tuple[str, int, str]]:
    """Host, port and start-up token of a server of its own; no worker beside it."""
    command = [sys.executable, "-c", "from cli.main import main; main()"]
    process = subprocess.Popen(
        [*command, "serve", "--port", "0", "--no-worker"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        address = urlsplit(_printed_address(process))
        yield str(address.hostname), int(address.port or 0), address.query.removeprefix("token=")
    finally:
        process.terminate()
        process.wait(timeout=60)


def _printed_address(process: "subprocess.Popen[str]") -> str:
    for line in process.stdout or ():
        found = _ADDRESS.search(line)
        if found is not None:
            return found[0]
    raise RuntimeError(f"ctsearch serve printed no address within {_STARTED_S:g} s")
