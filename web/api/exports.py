"""Result lists as CSV and PDF."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from retrieval.answers import Answer
from web.access.caller import Caller, Reader
from web.api.problem_model import problems
from web.asked import SearchBody, SearchLink, answer_search, subjects_of
from web.audit import record
from web.desk import desk_of
from web.hit_csv import COLUMNS, hits_as_csv
from web.views import views_of

router = APIRouter(tags=["exports"])
_Responses = dict[int | str, dict[str, Any]]
_CSV: _Responses = {
    **problems(404, 409),
    200: {
        "description": "One row a hit; no spreadsheet takes a cell for a formula.",
        "content": {"text/csv": {"schema": {"type": "string"}, "example": ",".join(COLUMNS) + "\r\n"}},
    },
}
_PDF: _Responses = {
    **problems(404, 409),
    200: {
        "description": "A page or more, with the key slice of each hit whose voxels are in reach.",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
    },
}


@router.get("/export.csv", response_class=Response, responses=_CSV, summary="A result list as CSV")
def export_csv(request: Request, caller: Reader, asked: Annotated[SearchLink, Query()]) -> Response:
    """Return the hits of a search with their reports; the parameters are those of GET /search."""
    return _csv(request, caller, asked.to_body())


@router.post("/export.csv", response_class=Response, responses=_CSV, summary="The same by a body")
def export_csv_of_body(request: Request, caller: Reader, asked: SearchBody) -> Response:
    """Return what the GET returns; a report can be asked by as well."""
    return _csv(request, caller, asked)


@router.get("/export.pdf", response_class=Response, responses=_PDF, summary="A result list as PDF")
def export_pdf(request: Request, caller: Reader, asked: Annotated[SearchLink, Query()]) -> Response:
    """Return the hits of a search, to print; the parameters are those of GET /search."""
    return _pdf(request, caller, asked.to_body())


@router.post("/export.pdf", response_class=Response, responses=_PDF, summary="The same by a body")
def export_pdf_of_body(request: Request, caller: Reader, asked: SearchBody) -> Response:
    """Return what the GET returns; a report can be asked by as well."""
    return _pdf(request, caller, asked)


def _csv(request: Request, caller: Caller, asked: SearchBody) -> Response:
    answer = _answered(request, caller, asked, "csv")
    return _download(hits_as_csv(answer), "text/csv; charset=utf-8", "csv")


def _pdf(request: Request, caller: Caller, asked: SearchBody) -> Response:
    from web.hit_pdf import hits_as_pdf
    from web.hit_pictures import hit_pictures

    answer = _answered(request, caller, asked, "pdf")
    pictures = hit_pictures(views_of(request).volumes, answer.hits)
    content = hits_as_pdf(answer, pictures=pictures, asked_by=caller.name, at=datetime.now(UTC))
    return _download(content, "application/pdf", "pdf")


def _answered(request: Request, caller: Caller, asked: SearchBody, kind: str) -> Answer:
    desk = desk_of(request)
    answer = answer_search(desk, caller, asked)
    record(desk, caller, "export", f"collection {answer.collection}", kind=kind, cases=subjects_of(answer))
    return answer


def _download(content: str | bytes, media_type: str, ending: str) -> Response:
    name = f'attachment; filename="ctsearch-hits.{ending}"'
    return Response(content, media_type=media_type, headers={"Content-Disposition": name})
