"""What was found relevant: marked, taken back, given out as qrels."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response

from retrieval.relevance import Mark, mark, marks_of, qrels
from retrieval.sessions import one_state
from web.access.caller import Caller, Reader
from web.api.problem_model import problems
from web.asked import SearchBody, SearchLink
from web.audit import record
from web.desk import Desk, desk_of
from web.formula_safe import write_csv

router = APIRouter(tags=["feedback"])
_COLUMNS = ("query_key", "query", "collection", "dataset", "study", "relevant", "actor", "at")


class MarkBody(BaseModel):
    """What somebody says of a hit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": {"text": "bilateral pleural effusion"},
                    "collection": "default",
                    "dataset": "ct-rate",
                    "study": "valid_53_a",
                    "relevant": True,
                }
            ]
        }
    )

    query: SearchBody = Field(description="The search that found it, as its body was.")
    collection: str = Field(description="Where was looked.")
    dataset: str = Field(description="Of the hit.")
    study: str = Field(description="Of the hit.")
    relevant: bool | None = Field(description="Relevant or not; null takes back what was said.")


class MarkedModel(BaseModel):
    """What is kept now."""

    query_key: str = Field(description="The topic: equal questions have equal keys.")
    dataset: str
    study: str
    relevant: bool | None


class MarkModel(BaseModel):
    """What somebody said of a study under a question."""

    query_key: str
    query: dict[str, Any] = Field(description="What was looked for; of a report its digest alone.")
    collection: str
    dataset: str
    study: str
    relevant: bool
    actor: str
    at: datetime


class MarksModel(BaseModel):
    """Marks, by question and study."""

    marks: list[MarkModel]


class WhoseLink(BaseModel):
    """Whose marks are meant."""

    mine: bool = Field(False, description="The caller's alone.")


@router.post(
    "/feedback",
    response_model=MarkedModel,
    summary="Mark a hit as relevant or not, or take that back",
    responses=problems(404),
)
def mark_hit(request: Request, caller: Reader, said: MarkBody) -> dict[str, Any]:
    """Keep what the caller says of a hit, in place of what they said of it before."""
    desk = desk_of(request)
    said.query.subject()
    key = mark(
        desk.engine,
        said.query.model_dump(exclude_none=True, exclude_defaults=True),
        actor=caller.name,
        collection=said.collection,
        dataset=said.dataset,
        study=said.study,
        relevant=said.relevant,
    )
    record(desk, caller, "mark", f"{said.dataset}/{said.study}", query_key=key, relevant=said.relevant)
    return {"query_key": key, "dataset": said.dataset, "study": said.study, "relevant": said.relevant}


@router.get("/feedback", response_model=MarksModel, summary="List one's own marks", responses=problems(404))
def list_marks(request: Request, caller: Reader, asked: Annotated[SearchLink, Query()]) -> dict[str, Any]:
    """Return the caller's marks: of one search if one is given, else of all."""
    body = asked.to_body() if asked.is_asked else None
    query = None if body is None else body.model_dump(exclude_none=True, exclude_defaults=True)
    with one_state(desk_of(request).engine) as connection:
        return {"marks": [_row(each) for each in marks_of(connection, actor=caller.name, query=query)]}


@router.get(
    "/feedback/qrels",
    response_class=PlainTextResponse,
    summary="Marks as TREC qrels",
    responses={
        200: {
            "description": "Lines of topic, 0, document, 1 or 0; of several people the majority, a tie is 1.",
            "content": {"text/plain": {"example": "6f1c0a9be2d34c57 0 ct-rate/valid_53_a 1\n"}},
        },
    },
)
def export_qrels(request: Request, caller: Reader, whose: Annotated[WhoseLink, Query()]) -> Response:
    """Return qrels that trec_eval and ir_measures read; a document is dataset/study, percent-encoded."""
    marks = _exported(desk_of(request), caller, mine=whose.mine)
    return _download(qrels(marks), "text/plain", "ctsearch.qrels")


@router.get(
    "/feedback.csv",
    response_class=Response,
    summary="Marks as CSV",
    responses={
        200: {
            "description": "One row a mark; readers get their own, admins everybody's.",
            "content": {"text/csv": {"example": ",".join(_COLUMNS) + "\r\n"}},
        },
    },
)
def export_csv(request: Request, caller: Reader) -> Response:
    """Return marks with the question in words; no spreadsheet takes a cell for a formula."""
    marks = _exported(desk_of(request), caller, mine=not caller.may("admin"))
    rows = ({**_row(each), "query": _in_words(each), "at": each.at.isoformat()} for each in marks)
    return _download(write_csv(_COLUMNS, rows), "text/csv", "ctsearch-marks.csv")


def _exported(desk: Desk, caller: Caller, *, mine: bool) -> list[Mark]:
    with one_state(desk.engine) as connection:
        marks = marks_of(connection, actor=caller.name if mine else None)
    record(desk, caller, "export", "marks", count=len(marks))
    return marks


def _row(each: Mark) -> dict[str, Any]:
    return {name: getattr(each, name) for name in _COLUMNS}


def _in_words(each: Mark) -> str:
    return "; ".join(
        f"{name}: {', '.join(value) if isinstance(value, list) else value}"
        for name, value in each.query.items()
    )


def _download(content: str, kind: str, name: str) -> Response:
    return Response(
        content,
        media_type=f"{kind}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
