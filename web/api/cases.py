"""Cases of the archive: reports, labels, metadata, other reconstructions."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from encoders.errors import SearchError
from web.access.caller import Reader
from web.asked import FilterLink
from web.audit import record
from web.desk import desk_of

router = APIRouter(tags=["cases"])
MOST_CASES = 1000


class ListLink(FilterLink):
    """Which cases are listed."""

    limit: int = Field(100, ge=1, le=MOST_CASES, description="How many studies at most.")
    after: Annotated[str | None, BeforeValidator(lambda value: value or None)] = Field(
        None,
        description="`next` of the page before: dataset/study.",
        examples=["ct-rate/valid_53_a"],
    )


class ListedCaseModel(BaseModel):
    """A study of the archive."""

    dataset: str
    study: str
    patient: str
    volume: str | None = Field(description="The first of its volumes; null: there is none.")
    volumes: list[str] = Field(description="Its volumes that match.")
    labels: list[str] = Field(description="Findings known to be present.")
    metadata: dict[str, Any] = Field(description="Of its first volume, as in a search's hits.")
    collections: list[str] = Field(description="That hold a latent of it.")


class CasesModel(BaseModel):
    """Studies by name."""

    cases: list[ListedCaseModel]
    count: int = Field(description="Studies on this page.")
    next: str | None = Field(description="Give it as `after` for the next page; null: this is the last.")


class SentenceModel(BaseModel):
    """A sentence of a report and where it stands."""

    section: str
    number: int = Field(description="From 1 within the section.")
    text: str
    negated: bool = Field(description="It denies findings and affirms none.")


class ReportModel(BaseModel):
    """A report; a section that was not written is empty."""

    name: str
    findings: str
    impression: str
    clinical_information: str
    technique: str
    sentences: list[SentenceModel]


class LabelModel(BaseModel):
    """What is known of one of the 18 findings; those that are unknown are not listed."""

    finding: str
    present: bool
    source: Literal["manual", "extractor", "zero_shot"] = Field(description="Who is believed.")
    by_source: dict[str, bool] = Field(description="What every source says.")


class VolumeModel(BaseModel):
    """A reconstruction of the scan."""

    volume: str
    metadata: dict[str, Any] = Field(
        description="sex, age_years, manufacturer, model, kernel, slice_mm, pixel_mm; null is unknown."
    )
    other: dict[str, Any] = Field(description="What the source says beyond that, without identities.")
    collections: list[str] = Field(description="That hold its latent.")


class OtherStudyModel(BaseModel):
    """Another study of the same patient."""

    dataset: str
    study: str
    day: int | None = Field(description="Days since the patient's first study; null is unknown.")


class CaseModel(BaseModel):
    """A study with everything made or said of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "dataset": "ct-rate",
                "study": "valid_53_a",
                "patient": "valid_53",
                "split": "valid",
                "day": 0,
                "reports": [
                    {
                        "name": "valid_53_a",
                        "findings": "Bilateral pleural effusion.",
                        "impression": "Effusion.",
                        "clinical_information": "",
                        "technique": "",
                        "sentences": [
                            {
                                "section": "findings",
                                "number": 1,
                                "text": "Bilateral pleural effusion.",
                                "negated": False,
                            }
                        ],
                    }
                ],
                "labels": [
                    {
                        "finding": "Pleural effusion",
                        "present": True,
                        "source": "extractor",
                        "by_source": {"extractor": True},
                    }
                ],
                "volumes": [
                    {
                        "volume": "valid_53_a_1",
                        "metadata": {"sex": "F", "age_years": 61.0, "manufacturer": "Philips"},
                        "other": {},
                        "collections": ["default"],
                    }
                ],
                "other_studies": [{"dataset": "ct-rate", "study": "valid_53_b", "day": 96}],
                "collections": ["default"],
            }
        }
    )

    dataset: str
    study: str
    patient: str = Field(description="The data set's name of the patient, or a pseudonym.")
    split: str | None
    day: int | None = Field(description="Days since the patient's first study; null is unknown.")
    reports: list[ReportModel]
    labels: list[LabelModel]
    volumes: list[VolumeModel] = Field(description="Its reconstructions.")
    other_studies: list[OtherStudyModel] = Field(description="Of the same patient.")
    collections: list[str] = Field(description="That hold a latent of any of it.")


@router.get("/cases", response_model=CasesModel, summary="List the archive's cases")
def list_cases(request: Request, caller: Reader, asked: Annotated[ListLink, Query()]) -> dict[str, Any]:
    """Return studies by name, those without a latent too, page by page."""
    desk = desk_of(request)
    after = None if asked.after is None else _place(asked.after)
    found = desk.search.list_cases(asked.to_filters(), "study", asked.limit + 1, after=after)
    shown = found[: asked.limit]
    last = shown[-1] if len(found) > len(shown) else None
    record(desk, caller, "list cases", "archive", count=len(shown), after=asked.after)
    return {
        "cases": [{**case.to_json(), "dataset": case.metadata["dataset"]} for case in shown],
        "count": len(shown),
        "next": None if last is None else f"{last.metadata['dataset']}/{last.study}",
    }


@router.get(
    "/cases/{dataset}/{study:path}",
    response_model=CaseModel,
    summary="Read a case",
)
def read_case(request: Request, caller: Reader, dataset: str, study: str) -> dict[str, Any]:
    """Return a study: reports in sentences, labels by source, volumes, the patient's other studies."""
    desk = desk_of(request)
    details = desk.search.case(dataset, study)
    record(desk, caller, "read case", f"{details.dataset}/{details.study}")
    return details.to_json()


def _place(after: str) -> tuple[str, str]:
    dataset, slash, study = after.partition("/")
    if not slash:
        raise SearchError(f"after {after!r} is no place in the list: give `next` of the page before")
    return dataset, study
