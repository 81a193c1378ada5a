"""Findings, labelled and scored."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from encoders.abnormalities import ALIASES, DEFAULT_PROMPT
from web.access.caller import Reader
from web.asked import FilterLink, Word, Words, service_for
from web.audit import record
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


class ScoresLink(BaseModel):
    """What is scored, and how."""

    finding: Words = Field(
        [], max_length=50, description="In words; repeat for more. Else the 18.", examples=[["crazy paving"]]
    )
    prompt: str = Field(
        DEFAULT_PROMPT,
        max_length=1000,
        description='A known prompt, or a sentence: "There is [no] {}." The negation is in brackets.',
    )
    collection: Word = Field(None, description="Whose latent and encoder.")


class ScoresModel(BaseModel):
    """How likely findings are, as a model guesses from a latent; no measurement, and not calibrated."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"prompt": "{} is present.", "abnormalities": {"Lung nodule": 0.73, "Emphysema": 0.08}}
        }
    )

    prompt: str | None = Field(description="The sentence for present; null: the model's own head scored.")
    abnormalities: dict[str, float] = Field(description="In [0, 1].")


@router.get(
    "/scores/{dataset}/{study:path}",
    response_model=ScoresModel,
    summary="Score findings in a case",
)
def score_case(
    request: Request, caller: Reader, dataset: str, study: str, asked: Annotated[ScoresLink, Query()]
) -> dict[str, Any]:
    """Return how likely findings are in a stored study or volume, by its stored latent."""
    desk = desk_of(request)
    scores = service_for(desk, caller).score_case(
        study, asked.finding, prompt=asked.prompt, collection=asked.collection, dataset=dataset
    )
    record(desk, caller, "score", f"{dataset}/{study}")
    return scores.to_json()


@router.get("/labels", response_model=FindingsModel, summary="The 18 findings")
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
