"""Whether the application lives, is ready, and how it fares."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from encoders.errors import CtsearchError
from retrieval.migrate import schema_state
from web.desk import Desk, desk_of

router = APIRouter(tags=["health"])


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
    """Look at the database, its schema and the worker, without a session; 503 until all is there."""
    parts = _database(desk_of(request))
    found = Readiness(ready=all(part.ready for part in parts.values()), parts=parts)
    response.status_code = 200 if found.ready else 503
    return found


def _database(desk: Desk) -> dict[str, Part]:
    try:
        state = schema_state(desk.engine)
    except CtsearchError:
        away = Part(ready=False, detail="the database cannot be reached")
        return {"database": away, "schema": Part(ready=False, detail="unknown")}
    server = Part(ready=True, detail=f"PostgreSQL {state.server.postgres // 10000}")
    current = state.revision == state.newest
    said = f"{state.revision}" if current else f"{state.revision}, and this version needs {state.newest}"
    return {"database": server, "schema": Part(ready=current, detail=said)}
