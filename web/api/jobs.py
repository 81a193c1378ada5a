"""Work in progress: encoding an upload, indexing it or a folder."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from web.access.caller import Caller, Indexer, Reader
from web.desk import Desk, desk_of
from web.jobs.ask_indexing import order_index
from web.jobs.job_rows import JobView, job_of, jobs_of
from web.jobs.orders import cancel_job, retry_job
from web.problems import ForbiddenError, NotFoundError

router = APIRouter(tags=["jobs"])

JobId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_LOOKED_AT_EVERY_S = 0.5
_SAID_AT_LEAST_EVERY_S = 1.0
_LONGEST_STREAM_S = 600.0  # then a browser asks again by itself


class IndexAsked(BaseModel):
    """An upload of yours, or a folder below those that the server indexes, into a collection."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"folder": "/data/ct/2024", "collection": "default"}]}
    )

    kind: Literal["index"] = "index"
    upload: str | None = None
    folder: str | None = Field(default=None, max_length=4096)
    collection: str = Field(default="default", min_length=1, max_length=200)
    encoder: str | None = Field(default=None, description="Of a new collection: one built in or in use.")
    format: Literal["auto", "ct-rate", "rad-chestct", "folder", "dicom"] = "auto"
    anonymous: bool = Field(default=False, description="It is declared anonymous already: names are kept.")
    retry_failed: bool = False


@router.get("/jobs")
def list_jobs(
    request: Request,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> dict[str, Any]:
    """Return your jobs, newest first; an admin sees everybody's."""
    actor = None if caller.may("admin") else caller.name
    found = jobs_of(desk_of(request).engine, actor=actor, limit=limit, before=before)
    return {"jobs": [job.to_json() for job in found]}


@router.post("/jobs", status_code=201)
def index(request: Request, caller: Indexer, asked: IndexAsked) -> dict[str, Any]:
    """Index an upload or a folder of the server; items that fail are listed with the job."""
    desk = desk_of(request)
    job_id = order_index(
        desk,
        caller,
        upload=asked.upload,
        folder=asked.folder,
        how=asked.model_dump(include={"collection", "encoder", "format", "anonymous", "retry_failed"}),
    )
    return own_job(desk, caller, job_id).to_json()


@router.get("/jobs/{job_id}", responses={404: {"description": "none of yours"}})
def show_job(request: Request, caller: Reader, job_id: JobId) -> dict[str, Any]:
    """Return how far a job is, and how it ended."""
    return own_job(desk_of(request), caller, job_id).to_json()


@router.post("/jobs/{job_id}/retry", responses={404: {"description": "none of yours, or nothing failed"}})
def retry(request: Request, caller: Reader, job_id: JobId) -> dict[str, Any]:
    """Do a job again that failed or was cancelled, or the items of it that failed."""
    desk = desk_of(request)
    if own_job(desk, caller, job_id).kind == "index" and not caller.may("indexer"):
        raise ForbiddenError(f"{caller.name} may not index any more: ask an admin")
    retry_job(desk.engine, job_id, desk.settings.waiting_jobs)
    return own_job(desk, caller, job_id).to_json()


@router.post("/jobs/{job_id}/cancel", responses={404: {"description": "none of yours, or it has ended"}})
def cancel(request: Request, caller: Reader, job_id: JobId) -> dict[str, Any]:
    """Stop a job; what it has stored stays."""
    desk = desk_of(request)
    own_job(desk, caller, job_id)
    cancel_job(desk.engine, job_id)
    return own_job(desk, caller, job_id).to_json()


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, 404: {"description": "none of yours"}},
)
async def events(request: Request, caller: Reader, job_id: JobId) -> StreamingResponse:
    """Stream progress as server-sent events: `progress` at least every second, `end` with the whole job."""
    desk = desk_of(request)
    first = await run_in_threadpool(own_job, desk, caller, job_id)
    return StreamingResponse(_told(desk, first), media_type="text/event-stream")


def own_job(desk: Desk, caller: Caller, job_id: int) -> JobView:
    """Return a job of the caller's; admins may see all.

    Raises:
        NotFoundError: there is none, or it is another's.
    """
    found = job_of(desk.engine, job_id)
    if found is None or (found.actor != caller.name and not caller.may("admin")):
        raise NotFoundError(f"there is no job {job_id} of yours")
    return found


async def _told(desk: Desk, job: JobView) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    said, said_at = "", 0.0
    found: JobView | None = job
    while found is not None and not found.has_ended and loop.time() - began < _LONGEST_STREAM_S:
        document = found.to_json()
        state = json.dumps({**document["progress"], "state": found.state, "seconds": None})
        if state != said or loop.time() - said_at >= _SAID_AT_LEAST_EVERY_S:
            said, said_at = state, loop.time()
            yield _event("progress", document)
        await asyncio.sleep(_LOOKED_AT_EVERY_S)
        found = await run_in_threadpool(job_of, desk.engine, job.id)
    if found is None:
        yield _event("end", {"id": job.id, "state": "cancelled", "error": "the job was removed"})
    elif found.has_ended:
        yield _event("end", found.to_json())


def _event(name: str, document: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(document))
