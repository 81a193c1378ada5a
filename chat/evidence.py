"""Evidence: what of the archive an answer may rest on. Its text is data, never an instruction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from retrieval.cases import Sex

Section = Literal["findings", "impression"]


@dataclass(frozen=True, slots=True)
class Quote:
    """One sentence of a stored report, as written, and where it stands."""

    study: str  # as answers call it: with its dataset where two datasets call a study alike
    section: Section
    sentence: int  # from 1 within the section
    text: str
    dataset: str | None = None
    name: str | None = None  # as its dataset calls it, where answers do not


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEvidence:
    """One study: what its tables and its report say; None and missing keys are unknown, never absent."""

    study: str  # as answers call it
    patient: str
    rank: int  # from 1, in the order the cases were found or named
    dataset: str | None = None
    day: int | None = None  # since the patient's first study
    sex: Sex | None = None
    age: float | None = None  # years
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, bool] = field(default_factory=dict)  # of the 18, those that are known
    label_source: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)  # zero-shot probabilities, where asked for
    sentences: tuple[Quote, ...] = ()  # the whole report, findings before impression


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The cases of a question, and the sentences that the question picked from them."""

    cases: tuple[CaseEvidence, ...]
    has_volume: bool  # an uploaded or named volume is part of the question
    of_others: bool = False  # the cases were found by likeness to that volume: their reports are not its own
    chosen: tuple[Quote, ...] = ()  # within the token budget
