"""Findings, labelled and scored."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from encoders.abnormalities import ALIASES
from web.access.caller import Reader
from web.api.problem_model import problems
from web.asked import FilterLink
from web.desk import desk_of

router = APIRouter(tags=["scores"])


class FindingModel(BaseModel):
    """One of the 18 findings and how often it is known of."""

    finding: str
    aliases: list[str] = Field(description="Other names that filters understand.")
    present: int = Field(description="Studies known to have it.")
    absent: int = Field(description="Studies known not to have it.")
    unknown: int = Field(description="Studies of which neither is known.")


class FindingsModel(BaseModel):
    """The 18 findings, in their order."""

    studies: int = Field(description="Studies that match the filters.")
    labels: list[FindingModel]


@router.get("/labels", response_model=FindingsModel, summary="The 18 findings", responses=problems())
def list_labels(request: Request, caller: Reader, asked: Annotated[FilterLink, Query()]) -> dict[str, Any]:  # noqa: ARG001 - a session is demanded
    """Return the 18 findings, with how many studies have and lack each."""
    counted = desk_of(request).search.facets(asked.to_filters())
    return {
        "studies": counted.studies,
        "labels": [
            {
                "finding": each.finding,
                "aliases": list(ALIASES[each.finding]),
                "present": each.present,
                "absent": each.absent,
                "unknown": counted.studies - each.present - each.absent,
            }
            for each in counted.findings
        ],
    }
