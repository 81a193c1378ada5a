"""What the store takes and gives: plain values, one a row or one an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval.cases import Case, Report, Volume

RunState = Literal["finished", "interrupted", "failed"]


def storable(text: str) -> str:
    """Return text as PostgreSQL takes it: no NUL, and bytes of a file name that are no UTF-8 written out."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """A collection and what it holds; the counts are None where they were not asked for."""

    id: int
    name: str
    encoder: str
    encoder_digest: str
    preprocessing_digest: str
    latent_dim: int
    created_at: datetime
    volumes: int | None = None  # that have a latent here
    reports: int | None = None  # likewise
    studies: int | None = None  # with at least one of either


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCases:
    """Ids of the rows that hold the cases of one call, and what the call did to them."""

    studies: Mapping[tuple[str, str], int]  # (dataset, study)
    volumes: Mapping[tuple[str, str], int]  # (dataset, volume)
    reports: Mapping[
        tuple[str, str, str], int
    ]  # (dataset, study, report): a report's name is its study's own
    new_volumes: frozenset[int] = frozenset()
    changed_volumes: frozenset[int] = frozenset()
    new_reports: frozenset[int] = frozenset()
    changed_reports: frozenset[int] = frozenset()
    changed_studies: frozenset[int] = frozenset()  # were there, and something said of them is not what it was

    def study_id(self, case: Case) -> int:
        """Return the id of a case's study row."""
        return self.studies[storable(case.dataset), storable(case.study)]

    def volume_id(self, case: Case, volume: Volume) -> int:
        """Return the id of a volume's row."""
        return self.volumes[storable(case.dataset), storable(volume.name)]

    def report_id(self, case: Case, report: Report) -> int:
        """Return the id of a report's row."""
        return self.reports[storable(case.dataset), storable(case.study), storable(report.name)]

    def is_changed(self, case: Case) -> bool:
        """Whether the case was stored before and its labels, metadata or report are now others."""
        return self.study_id(case) in self.changed_studies


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """The bytes a volume was read from, as they were when it was read."""

    volume_id: int
    uri: str | None  # None where the path names a patient
    size: int
    mtime_ns: int
    sha256: bytes
    rescale_source: str | None = None  # header, metadata or none; None until the voxels were read


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRow:
    """A latent of one volume or of one report, never of both."""

    study_id: int
    volume_id: int | None = None
    report_id: int | None = None
    content: bytes  # digest of what was encoded, and how it was read
    latent: npt.NDArray[np.float32]  # (L,), unit length


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last attempt at an item that could not be indexed."""

    item: str
    error: str
    attempts: int
    content: bytes | None = None  # of the file or text that failed; None where it could not be read at all
    run_id: int
    failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """How many rows went when a patient or a study was removed."""

    patients: int = 0
    studies: int = 0
    volumes: int = 0
    reports: int = 0
    latents: int = 0
    collections: Mapping[str, int] = field(
        default_factory=dict
    )  # latents by collection: whose caches are stale
    contents: tuple[bytes, ...] = ()  # of the volumes, encoded or shown: whose tokens go too
