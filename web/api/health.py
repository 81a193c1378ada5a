"""Whether the application lives, is ready, and how it fares."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from encoders.errors import CtsearchError
from retrieval.migrate import schema_state
from retrieval.sessions import one_state
from retrieval.worker_pulse import worker_silent_s
from web.access.caller import Reader
from web.desk import Desk, desk_of
from web.metrics import CONTENT_TYPE, metrics_of

router = APIRouter(tags=["health"])
WORKER_SILENT_S = 30.0  # it says that it lives every few seconds


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Part(BaseModel):
    """Something that serving needs."""

    ready: bool
    detail: str = Field(description="A sentence or a version; it names no server and no path.")


class Readiness(BaseModel):
    """Whether requests can be answered."""

    ready: bool = Field(description="All parts but the worker are ready.")
    parts: dict[str, Part] = Field(description="database, schema, worker.")


@router.get("/health/live", response_model=Alive, summary="Whether the process answers")
def alive() -> Alive:
    """Answer, without a session; nothing is looked at."""
    return Alive()


@router.get(
    "/health/ready",
    response_model=Readiness,
    summary="Whether requests can be answered",
    responses={503: {"model": Readiness, "description": "Not ready."}},
)
def ready(request: Request, response: Response) -> Readiness:
    """Look at the database, its schema and the worker, without a session.

    503 until database and schema are ready. Without a worker searches are answered and uploads wait.
    """
    parts = _database(desk_of(request))
    found = Readiness(ready=all(part.ready for name, part in parts.items() if name != "worker"), parts=parts)
    response.status_code = 200 if found.ready else 503
    return found


@router.get(
    "/metrics",
    response_class=Response,
    summary="Figures for Prometheus",
    responses={
        200: {
            "description": "Prometheus' text format.",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'ctsearch_jobs{state="queued"} 0.0\n',
                }
            },
        },
    },
)
def metrics(request: Request, caller: Reader) -> Response:  # noqa: ARG001 - a session is demanded
    """Return durations of requests by route, searches, jobs by state, uploads; no name of any case."""
    return Response(metrics_of(request).exposition(), media_type=CONTENT_TYPE)


def _database(desk: Desk) -> dict[str, Part]:
    try:
        state = schema_state(desk.engine)
    except CtsearchError:
        away = Part(ready=False, detail="the database cannot be reached")
        unknown = Part(ready=False, detail="unknown")
        return {"database": away, "schema": unknown, "worker": unknown}
    server = Part(ready=True, detail=f"PostgreSQL {state.server.postgres // 10000}")
    current = state.revision == state.newest
    said = f"{state.revision}" if current else f"{state.revision}, and this version needs {state.newest}"
    return {"database": server, "schema": Part(ready=current, detail=said), "worker": _worker(desk)}


def _worker(desk: Desk) -> Part:
    try:
        with one_state(desk.engine) as connection:
            silent_s = worker_silent_s(connection)
    except CtsearchError:
        return Part(ready=False, detail="unknown")
    if silent_s is None:
        return Part(ready=False, detail="no worker runs: uploads wait")
    return Part(ready=silent_s < WORKER_SILENT_S, detail=f"last heard of {silent_s:.0f} s ago")
