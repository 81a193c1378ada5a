"""Jobs: progress, failures, another try; and for indexers, a folder of the server to index."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from encoders.errors import CtsearchError
from web.access.caller import Caller, Indexer, Reader
from web.api.jobs import JobId, cancel, own_job, retry
from web.desk import Desk, desk_of
from web.jobs.ask_indexing import order_index
from web.jobs.job_rows import jobs_of
from web.jobs.uploads import own_uploads
from web.problems import status_of
from web.templating import page

router = APIRouter(tags=["pages"])


@router.get("/jobs")
def show_jobs(request: Request, caller: Reader) -> Response:
    """Show jobs, and the form for another."""
    return _page(request, caller)


@router.get("/jobs/list")
def show_list(request: Request, caller: Reader) -> Response:
    """Return the list alone; the page asks for it again and again."""
    return page(request, "jobs_list.html", _listed(desk_of(request), caller))


@router.get("/jobs/{job_id}")
def show_job(request: Request, caller: Reader, job_id: JobId) -> Response:
    """Show one job."""
    job = own_job(desk_of(request), caller, job_id)
    return page(request, "jobs_list.html" if "hx-request" in request.headers else "job.html", {"jobs": [job]})


@router.post("/jobs/index")
def index(
    request: Request,
    caller: Indexer,
    folder: Annotated[str, Form(max_length=4096)] = "",
    upload: Annotated[str, Form(max_length=64)] = "",
    collection: Annotated[str, Form(max_length=200)] = "default",
) -> Response:
    """Index a folder or an upload."""
    how = {
        "collection": collection.strip() or "default",
        "encoder": None,
        "format": "auto",
        "anonymous": False,
        "retry_failed": False,
    }
    try:
        order_index(desk_of(request), caller, upload=upload or None, folder=folder.strip() or None, how=how)
    except CtsearchError as error:
        return _page(request, caller, problem=error)
    return _back()


@router.post("/jobs/{job_id}/retry")
def retry_here(request: Request, caller: Reader, job_id: JobId) -> Response:
    """Do a job again."""
    try:
        retry(request, caller, job_id)
    except CtsearchError as error:
        return _page(request, caller, problem=error)
    return _back()


@router.post("/jobs/{job_id}/cancel")
def cancel_here(request: Request, caller: Reader, job_id: JobId) -> Response:
    """Stop a job."""
    try:
        cancel(request, caller, job_id)
    except CtsearchError as error:
        return _page(request, caller, problem=error)
    return _back()


def _page(request: Request, caller: Caller, problem: CtsearchError | None = None) -> Response:
    desk = desk_of(request)
    context = {
        **_listed(desk, caller),
        "problem": None if problem is None else str(problem),
        "served": desk.settings.served_folders,
        "uploads": own_uploads(desk.engine, caller) if caller.may("indexer") else [],
        "collections": [info.name for info in desk.store.collections()],
    }
    return page(request, "jobs.html", context, status=200 if problem is None else status_of(problem))


def _listed(desk: Desk, caller: Caller) -> dict[str, object]:
    jobs = jobs_of(desk.engine, actor=None if caller.may("admin") else caller.name)
    return {"jobs": jobs, "is_list": True}


def _back() -> Response:
    return RedirectResponse("/jobs", status_code=303)
