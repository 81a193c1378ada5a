"""What a call of `ctsearch index` asks for, and what it did."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from retrieval.cases import RescaleRule
from retrieval.datasets import SourceFormat, Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRequest:
    """A source and how it is to be read and encoded; `encoder` None means the collection's own."""

    source: str
    format: SourceFormat = "auto"
    tables: Tables = field(default_factory=Tables)
    collection: str = "default"
    encoder: str | None = None
    rescale: RescaleRule = "auto"
    label_model: str | None = None  # reads missing labels from reports; None leaves them unknown
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_size: int = 4  # volumes encoded at once
    workers: int = 2  # files read at once
    anonymous: bool = False  # the source is declared anonymous already
    retry_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item that could not be indexed, and why; the item is a name for the operator's eyes."""

    item: str
    error: str


@dataclass(slots=True, kw_only=True)
class IndexSummary:
    """Counts of volumes and reports: encoded first, encoded or described anew, left alone, failed."""

    collection: str
    indexed: int = 0
    updated: int = 0
    unchanged: int = 0
    without_file: int = 0  # volumes that tables name and whose file has not arrived
    reports_cut: int = 0  # longer than the encoder reads; the impression is kept
    failed: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)  # by de-identification
    seconds: float = 0.0

    def counts(self) -> dict[str, int]:
        """The counts as the archive keeps them for the run."""
        return {
            "indexed": self.indexed,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "without_file": self.without_file,
            "failed": len(self.failed),
        }

    def to_json(self) -> dict[str, Any]:
        """What `ctsearch index --json` prints."""
        return {
            "collection": self.collection,
            **self.counts(),
            "failed": [{"item": failure.item, "error": failure.error} for failure in self.failed],
            "reports_cut": self.reports_cut,
            "removed": self.removed,
            "warnings": self.warnings,
            "seconds": round(self.seconds, 3),
        }


class IndexProgress(Protocol):
    """Whoever shows how far a run is."""

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        """Show that `done` of `total` studies are through; `total` None is not known."""
