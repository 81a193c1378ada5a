"""What a source of cases looks like from outside, whatever its layout."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.cases import Case, Unreadable

SourceFormat = Literal["auto", "ct-rate", "rad-chestct", "folder", "dicom", "phantom"]
DatasetName = Literal["ct-rate", "rad-chestct", "folder", "dicom", "phantom"]
Entries = Callable[[Counter[str], list[str]], Iterable[Case | Unreadable]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Tables given by hand; those that are None are looked for in the source and beside it."""

    reports: Path | None = None
    labels: Path | None = None
    metadata: Path | None = None


class Source:
    """Cases of one folder or cohort, read as they are asked for; it can be gone through again.

    `warnings` are whole sentences: how the source was understood, and what is doubtful about it. They and
    `removed` are complete once the source has been gone through.
    """

    def __init__(
        self,
        *,
        dataset: DatasetName,
        anonymous: bool,
        entries: Entries,
        count: int | None = None,
        warnings: Iterable[str] = (),
    ) -> None:
        self.dataset = dataset
        self.anonymous = anonymous  # names are the source's own, nothing is removed
        self.count = count  # cases; None where only reading on will tell
        self.removed: Counter[str] = Counter()  # what de-identification took out, by kind
        self._entries = entries
        self._told = tuple(warnings)
        self._found: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """What is to be known about the source, in whole sentences."""
        return [*self._told, *self._found]

    def __iter__(self) -> Iterator[Case | Unreadable]:
        """Yield cases, and what is none with its reason; one that cannot be read stops nothing."""
        self.removed.clear()
        self._found.clear()
        yield from self._entries(self.removed, self._found)
