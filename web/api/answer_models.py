"""An answer as the API describes it: the keys of `ctsearch search --json`, and each hit's data set."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class LegPlaceModel(BaseModel):
    """Where a hit stands in one ranking."""

    model_config = ConfigDict(extra="allow")


class ReportText(BaseModel):
    """A report's two sections that say something of the scan."""

    findings: str = Field(description="As written; empty where there is none.")
    impression: str = Field(description="As written; empty where there is none.")


class HitModel(BaseModel):
    """A case found."""

    rank: int = Field(description="From 1, best first.")
    dataset: str = Field(description="Where the case is from.")
    volume: str | None = Field(description="The reconstruction shown; null: a report without a volume.")
    study: str = Field(description="The scan.")
    patient: str = Field(description="The data set's name of the patient, or a pseudonym.")
    score: float = Field(
        description="Cosine in [-1, 1] of one ranking; of several, what they were fused to, in [0, 1]."
    )
    labels: list[str] = Field(description="Findings known to be present.")
    shared_labels: list[str] = Field(description="Those that the question has too.")
    missing_labels: list[str] = Field(description="The question has them, the case is known not to.")
    other_labels: list[str] = Field(description="The case has them, the question does not.")
    legs: dict[str, LegPlaceModel | None] = Field(
        description="Its place in each ranking that was asked; null: not among its first."
    )
    matched_sentences: list[str] = Field(description="Sentences of its report that say what was asked.")
    report: ReportText
    metadata: dict[str, Any] = Field(
        description=(
            "dataset, split, day (days since the patient's first study), sex, age_years, manufacturer, "
            "model, kernel, slice_mm and pixel_mm; null is unknown. For admins also source, the file."
        )
    )


class AnswerModel(BaseModel):
    """Hits, best first, and how they were found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "query": {"kind": "text", "text": "pleural effusion", "labels": ["Pleural effusion"], "k": 1},
                "collection": "default",
                "engine": "faiss",
                "exact": True,
                "took_ms": 21.4,
                "hits": [
                    {
                        "rank": 1,
                        "dataset": "ct-rate",
                        "volume": "valid_53_a_1",
                        "study": "valid_53_a",
                        "patient": "valid_53",
                        "score": 0.998,
                        "labels": ["Pleural effusion"],
                        "shared_labels": ["Pleural effusion"],
                        "missing_labels": [],
                        "other_labels": [],
                        "legs": {"text": {"rank": 1, "score": 1.0}, "volume": None},
                        "matched_sentences": ["Bilateral pleural effusion."],
                        "report": {"findings": "Bilateral pleural effusion.", "impression": ""},
                        "metadata": {"dataset": "ct-rate", "sex": "F", "age_years": 61.0},
                    }
                ],
                "explanation": ["volume latents: all compared in memory; exact (faiss)"],
                "warnings": [],
            }
        }
    )

    query: dict[str, Any] = Field(description="What was asked, as it was read.")
    collection: str = Field(description="Where was looked.")
    engine: str = Field(description="What compared latents: faiss or pgvector.")
    exact: bool = Field(description="Whether nothing nearer was passed over.")
    took_ms: float = Field(description="Milliseconds of ranking and fetching, encoding apart.")
    hits: list[HitModel]
    explanation: list[str] = Field(description="How the hits were found, a sentence each.")
    warnings: list[str] = Field(description="About what was asked, a sentence each.")
