"""Searches: by upload, by case, by words, by report; and what filters would leave."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from web.access.caller import Caller, Reader
from web.api.answer_models import AnswerModel
from web.api.problem_model import problems
from web.asked import FilterLink, SearchBody, SearchLink, answer_document, answer_search, subjects_of
from web.audit import record
from web.desk import desk_of
from web.metrics import metrics_of

router = APIRouter(tags=["search"])


class FindingCountModel(BaseModel):
    """Studies by one of the 18 findings; those of which nothing is known are in neither count."""

    finding: str
    present: int = Field(description="Studies known to have it.")
    absent: int = Field(description="Studies known not to have it.")


class AgeCountModel(BaseModel):
    """Studies by age."""

    low: int = Field(description="Years.")
    high: int | None = Field(description="Years, included; null is open.")
    count: int = Field(description="Studies.")


class FacetsModel(BaseModel):
    """How many studies each choice of a filter would leave."""

    studies: int = Field(description="Studies that match all filters.")
    findings: list[FindingCountModel] = Field(description="The 18 findings, among these.")
    sex: dict[str, int] = Field(description="Studies by sex, as if it were not filtered by.")
    manufacturer: dict[str, int] = Field(description="By manufacturer, likewise; the most frequent first.")
    dataset: dict[str, int] = Field(description="By data set, likewise.")
    split: dict[str, int] = Field(description="By split, likewise.")
    age: list[AgeCountModel] = Field(description="By age in decades, likewise; 90 and more are one.")


@router.post(
    "/search",
    response_model=AnswerModel,
    summary="Find the cases most like words, a case, a report or an upload",
    responses=problems(404, 409),
)
def search(request: Request, caller: Reader, asked: SearchBody) -> dict[str, Any]:
    """Return stored cases, nearest first, with what they share with the question and what they do not.

    Give exactly one of `text`, `case`, `report` and `upload`. An upload that is not encoded yet is answered
    with 409 and the job to wait for.
    """
    return _answered(request, caller, asked)


@router.get(
    "/search",
    response_model=AnswerModel,
    summary="The same by an address that can be kept and passed on",
    responses=problems(404, 409),
)
def search_by_link(request: Request, caller: Reader, asked: Annotated[SearchLink, Query()]) -> dict[str, Any]:
    """Return what the POST returns. A report is not taken: addresses are kept in logs and histories."""
    return _answered(request, caller, asked.to_body())


@router.get(
    "/facets",
    response_model=FacetsModel,
    summary="Count what each choice of a filter would leave",
)
def facets(request: Request, caller: Reader, asked: Annotated[FilterLink, Query()]) -> dict[str, Any]:  # noqa: ARG001 - a session is demanded
    """Return counts of studies under the filters given: by finding, sex, manufacturer, data set and age."""
    return desk_of(request).search.facets(asked.to_filters()).to_json()


def _answered(request: Request, caller: Caller, asked: SearchBody) -> dict[str, Any]:
    desk = desk_of(request)
    answer = answer_search(desk, caller, asked)
    metrics_of(request).note_search(answer)
    record(desk, caller, "search", f"collection {answer.collection}", cases=subjects_of(answer))
    return answer_document(answer, caller)
