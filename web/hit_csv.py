"""A result list as CSV: one row a hit, reports included."""

from typing import Any

from retrieval.answers import Answer
from retrieval.hits import ACQUISITION, Hit
from web.formula_safe import write_csv

RESEARCH_USE = "research use only: nothing here is a diagnosis"
COLUMNS = (
    *("rank", "dataset", "study", "volume", "patient", "score"),
    *("labels", "shared_labels", "missing_labels", "other_labels"),
    *("split", "day", *ACQUISITION),
    *("matched_sentences", "findings", "impression", "note"),
)


def hits_as_csv(answer: Answer) -> str:
    """Return the hits of an answer; lists are joined by semicolons."""
    return write_csv(COLUMNS, map(_row, answer.hits))


def _row(hit: Hit) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "dataset": hit.metadata["dataset"],
        "study": hit.study,
        "volume": hit.volume,
        "patient": hit.patient,
        "score": round(hit.score, 6),
        "labels": "; ".join(hit.labels),
        "shared_labels": "; ".join(hit.shared_labels),
        "missing_labels": "; ".join(hit.missing_labels),
        "other_labels": "; ".join(hit.other_labels),
        "matched_sentences": " ".join(hit.matched_sentences),
        "findings": hit.findings,
        "impression": hit.impression,
        "note": RESEARCH_USE,
        **{name: hit.metadata[name] for name in ("split", "day", *ACQUISITION)},
    }
