"""From a question and what it is asked about to evidence: stored cases with reports, labels, days, scores."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.engine import Connection

from chat.evidence import CaseEvidence, Evidence
from chat.picking import pick_sentences
from chat.question import understand
from chat.scope import LIKE_IT
from chat.shown_volumes import volumes_of
from chat.stored_evidence import stored_cases, studies_of_same_patients, told_apart
from encoders.errors import CheckpointError, ReportError, SearchError
from retrieval.hospital_names import find_case_by_any_name
from retrieval.named_cases import StoredCase, case_in
from retrieval.questions import volume_file
from retrieval.search import Answer, SearchOptions
from retrieval.service import CaseSearch
from retrieval.sessions import one_state

if TYPE_CHECKING:
    from torch import Tensor

    from chat.volume_tokens import VolumeTokens
    from retrieval.deidentify import PseudonymKey

_SIMILAR = re.compile(rf"\b(?:{LIKE_IT}|resembl\w+|nearest|closest|comparable)\b", re.IGNORECASE)
_ANOTHER_STUDY = re.compile(
    r"\bfollow(?:ed)?[- ]?ups?\b|\b(?:later|earlier|another|further|next|previous|prior) (?:stud|scan"
    r"|exam|ct)|\bsince (?:then|the)\b|\bover time\b",
    re.IGNORECASE,
)


CaseName = str | tuple[str, str]
"""A case by any name; or its data set and its name there, which is then exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a question is asked about: stored cases, a CT file, or a description. One of them."""

    names: tuple[CaseName, ...] = ()
    volume: Path | None = None
    text: str | None = None
    k: int = 5  # cases that are looked for, by likeness
    collection: str | None = None

    def __post_init__(self) -> None:
        given = [
            option
            for option, value in (("--case", self.names), ("--volume", self.volume), ("--text", self.text))
            if value
        ]
        if len(given) > 1:
            raise SearchError(
                f"a question is about one of --case, --volume and --text; found {' and '.join(given)}"
            )

    @property
    def is_something(self) -> bool:
        """Whether anything is named."""
        return bool(self.names or self.volume or self.text)


@contextmanager
def open_context(*, device: str = "cpu") -> Iterator["Context"]:
    """Yield what gathers evidence from the archive of `CTSEARCH_DATABASE` or `CTSEARCH_HOME`.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    from retrieval.archive_key import existing_key
    from retrieval.migrate import open_archive

    engine = open_archive()
    try:
        yield Context(engine, key=existing_key(), device=device)
    finally:
        engine.dispose()


class Context:
    """Gathers evidence; hits of a subject are looked for once, however often it is asked about."""

    def __init__(
        self,
        engine: Engine,
        *,
        key: "PseudonymKey | None" = None,
        device: str = "cpu",
        search: CaseSearch | None = None,
    ) -> None:
        """`search` is what looks for cases; one that others use too has its encoders in memory already."""
        self._engine = engine
        self._key = key
        self._search = search or CaseSearch(engine, key=key, device=device)
        self._hits: dict[Subject, tuple[CaseName, ...]] = {}
        self.warnings: tuple[str, ...] = ()  # of the last search

    def evidence(self, subject: Subject, question: str) -> Evidence:
        """Gather what a question may be answered from.

        With one case and a question about similar ones, these are found and the case itself is left out; with
        a question about follow-up, other studies of the same patients are added, with rank 0.

        Args:
            subject: stored cases, a CT file or a description; nothing of it is evidence without a report.
            question: as typed.

        Raises:
            SearchError: a case is not there, or the collection is not.
            VolumeError: the file cannot be read as a CT.
        """
        names = self._names(subject, question)
        with one_state(self._engine) as connection:
            studies = [self._case(connection, name) for name in names]
            cases = stored_cases(connection, studies)
            days = any(part.kind == "days" for part in understand(question))
            if _ANOTHER_STUDY.search(question) or (days and len(cases) == 1):
                cases += studies_of_same_patients(connection, studies)
        if any(part.kind == "score" for part in understand(question)):
            cases = [self._scored(case, subject) for case in cases]
        cases = told_apart(cases)
        chosen = pick_sentences(question, cases)
        given = subject.volume is not None
        return Evidence(cases=tuple(cases), has_volume=given, of_others=given, chosen=chosen)

    def shown(self, subject: Subject, reader: "VolumeTokens | None") -> "tuple[Tensor, ...]":
        """Return the tokens (N, C) of each volume that a question is about; none where nothing reads them.

        Raises:
            SearchError: a case is not there, or the archive does not know where its voxels are.
            VolumeError: a volume is not there, or is not a readable CT in Hounsfield units.
        """
        if reader is None:
            return ()
        if subject.volume is not None:
            return (reader.read(volume_file(subject.volume)),)
        with one_state(self._engine) as connection:
            cases = [self._case(connection, name) for name in subject.names]
            files = volumes_of(connection, cases, self._key)
        return tuple(reader.read(file) for file in files)

    def _case(self, connection: Connection, name: CaseName) -> StoredCase:
        if isinstance(name, str):
            return find_case_by_any_name(connection, name, self._key)
        return case_in(connection, *name)

    def _names(self, subject: Subject, question: str) -> tuple[CaseName, ...]:
        one = len(subject.names) == 1 and _SIMILAR.search(question)
        if subject.names and not one:
            return tuple(dict.fromkeys(subject.names))
        if subject not in self._hits:
            found = self._found(subject)
            self.warnings = found.warnings if found is not None else ()
            self._hits[subject] = (
                tuple((hit.metadata["dataset"], hit.study) for hit in found.hits) if found else ()
            )
        return self._hits[subject]

    def _found(self, subject: Subject) -> Answer | None:
        options = SearchOptions(k=subject.k)
        if subject.names:
            dataset, name = _exactly(subject.names[0])
            return self._search.search_by_case(name, options, collection=subject.collection, dataset=dataset)
        if subject.volume is not None:
            return self._search.search_by_volume(subject.volume, options, collection=subject.collection)
        if subject.text is not None:
            return self._search.search_by_text(subject.text, options, collection=subject.collection)
        return None

    def _scored(self, case: CaseEvidence, subject: Subject) -> CaseEvidence:
        """Add zero-shot probabilities; a case without a latent, or an encoder without text, has none."""
        try:
            scores = self._search.score_case(case.study, collection=subject.collection, dataset=case.dataset)
        except (SearchError, ReportError, CheckpointError):
            return case
        return replace(case, scores=dict(scores.probabilities))


def _exactly(name: CaseName) -> tuple[str | None, str]:
    return (None, name) if isinstance(name, str) else name


def case_names(cases: Sequence[CaseEvidence]) -> list[str]:
    """Return a line for each case: its rank, name, day and findings, for whoever asks what is being asked."""
    lines = []
    for case in cases:
        known = [f"day {case.day}"] if case.day is not None else []
        known += [f"{case.age:g} years"] if case.age is not None else []
        known += [{"F": "female", "M": "male"}[case.sex]] if case.sex is not None else []
        labels = [name for name, there in case.labels.items() if there]
        said = f"{', '.join(labels)} ({case.label_source})" if labels else "no label"
        place = str(case.rank) if case.rank else "–"
        lines.append(
            f"{place} {case.study} · {', '.join([*known, f'{len(case.sentences)} sentences'])} · {said}"
        )
    return lines
