"""How the application fares, for Prometheus (prometheus-client is imported here alone)."""

import time
from collections.abc import Iterable

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.answers import Answer
from retrieval.desk_schema import Job, Upload
from retrieval.sessions import one_state
from retrieval.worker_pulse import worker_silent_s
from web.jobs.job_rows import ENDED

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4  # as `generate_latest` writes where nothing else is asked for
_API = "/api/v1"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """The figures of one application. Labels are templates and kinds, never names of cases."""

    def __init__(self, engine: Engine) -> None:
        self._registry = CollectorRegistry()
        self.requests = Histogram(
            "ctsearch_request_seconds",
            "Seconds until the last byte of an answer.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.searches = Counter(
            "ctsearch_searches", "Searches that were answered.", ["kind", "engine"], registry=self._registry
        )
        self.ranking = Histogram(
            "ctsearch_search_seconds",
            "Seconds of ranking and fetching, encoding apart.",
            ["kind"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_FromDatabase(engine))

    def note_search(self, answer: Answer) -> None:
        """Count a search that was answered."""
        kind = str(answer.query["kind"])
        self.searches.labels(kind, answer.engine).inc()
        self.ranking.labels(kind).observe(answer.took_ms / 1000)

    def exposition(self) -> bytes:
        """Return all figures in Prometheus' text format.

        Raises:
            DatabaseError: the database, which counts jobs and uploads, is away.
        """
        return generate_latest(self._registry)


class _FromDatabase(Collector):
    """Figures that other processes change too: they are counted when they are asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the database need not be there when the application starts."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the figures."""
        with one_state(self._engine) as connection:
            rows = connection.execute(select(Job.state, func.count()).group_by(Job.state))
            counted: dict[str, int] = {row.state: row[1] for row in rows}
            uploads = connection.execute(select(func.count(), func.coalesce(func.sum(Upload.size), 0))).one()
            silent_s = worker_silent_s(connection)
        jobs = GaugeMetricFamily("ctsearch_jobs", "Jobs by state; queued ones wait.", labels=["state"])
        for state in ("queued", "running", *ENDED):
            jobs.add_metric([state], counted.get(state, 0))
        yield jobs
        yield GaugeMetricFamily("ctsearch_uploads", "Uploads that are kept.", value=uploads[0])
        yield GaugeMetricFamily("ctsearch_upload_bytes", "Their bytes as they were sent.", value=uploads[1])
        if silent_s is not None:
            yield GaugeMetricFamily(
                "ctsearch_worker_silent_seconds", "Since a worker last said that it lives.", value=silent_s
            )


def add_metrics(app: FastAPI, engine: Engine) -> None:
    """Measure every request of an application."""
    app.state.metrics = Metrics(engine)
    app.add_middleware(_Measuring, metrics=app.state.metrics)


def metrics_of(request: Request) -> Metrics:
    """Return the application's figures."""
    metrics: Metrics = request.app.state.metrics
    return metrics


class _Measuring:
    """ASGI middleware around all others: what the gate refuses is measured too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and note how long it took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            taken_s = time.perf_counter() - start
            self._metrics.requests.labels(_method(scope), _template(scope), str(status)).observe(taken_s)


def _template(scope: Scope) -> str:
    """The route as it is written, so that no name of a case becomes a label."""
    template = getattr(scope.get("route"), "path", None)
    if isinstance(template, str):  # a router's own, without the prefix that it was included under
        return f"{_API}{template}" if scope["path"].startswith(_API) else template
    return "/static" if scope["path"].startswith("/static/") else "none"


def _method(scope: Scope) -> str:
    known = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"
