"""A hit as the result list shows it: what its score means, what its report says of the question."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from encoders.negation import is_denial
from retrieval.answers import Answer
from retrieval.hits import Hit
from retrieval.voxel_sources import UPLOAD

_LEGS = {"text": "report in words", "report": "report likeness", "volume": "scan likeness"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text; `matched` where the question is answered."""

    text: str
    matched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HitView:
    """What is drawn of a hit."""

    hit: Hit
    dataset: str
    score: str
    height: float  # of the score's bar, 0 to 1
    meaning: str
    against: bool  # the report says the contrary of the question
    places: tuple[str, ...]  # in each ranking
    facts: tuple[str, ...]  # acquisition, in the order it is read
    sentences: tuple[tuple[str, bool], ...]  # of the report that match; True: it denies what it speaks of
    impression: tuple[Piece, ...]
    findings: tuple[Piece, ...]
    compare: str | None  # the address where it lies beside the question; None without voxels


def view_hits(answer: Answer, search: str = "") -> list[HitView]:
    """Return what is drawn of each hit of an answer; comparisons lead on to the other hits of `search`.

    Args:
        answer: to a question.
        search: the parameters of the address that asks it, encoded; empty where none does.
    """
    question = _asked_volume(answer.query)
    return [_view(hit, question, search) for hit in answer.hits]


def _asked_volume(query: Mapping[str, Any]) -> str | None:
    """Return what the viewer calls the volume that asks; None where words ask."""
    if query["kind"] == "upload":
        return f"{UPLOAD}/{query['upload']}"
    if query["kind"] == "case" and (query["volume"] or query.get("source")):
        return f"{query['dataset']}/{query['volume'] or query['latent_of']}"
    return None


def _compare(hit: Hit, question: str | None, search: str) -> str | None:
    if hit.volume is None:
        return None
    asked = {"query": question, "hit": f"{hit.metadata['dataset']}/{hit.volume}", "search": search}
    return f"/compare?{urlencode({name: value for name, value in asked.items() if value})}"


def _view(hit: Hit, question: str | None, search: str) -> HitView:
    against = "text" in hit.legs and hit.legs["text"] is None and hit.score == 0
    return HitView(
        hit=hit,
        dataset=str(hit.metadata["dataset"]),
        score=f"{hit.score:.2f}".replace("-0.00", "0.00"),
        height=min(1.0, max(0.0, hit.score)),
        meaning=_meaning(hit, against=against),
        against=against,
        places=_places(hit),
        facts=facts(hit.metadata),
        sentences=tuple((said, is_denial(said)) for said in hit.matched_sentences),
        impression=marked(hit.impression, hit.matched_sentences),
        findings=marked(hit.findings, hit.matched_sentences),
        compare=_compare(hit, question, search),
    )


def _meaning(hit: Hit, *, against: bool) -> str:
    """Say in a few words what a score counts; the kinds cannot be compared with each other."""
    if against:
        return "its report says the contrary"
    if "text" in hit.legs:
        return "its report says so" if hit.legs["text"] else "its report is silent; by likeness alone"
    if len(hit.legs) > 1:
        return "place in the rankings together"
    return "likeness of the scans"


def _places(hit: Hit) -> tuple[str, ...]:
    if len(hit.legs) < 2:
        return ()
    return tuple(
        f"{_LEGS[leg]} {'–' if place is None else f'no. {place.rank}'}" for leg, place in hit.legs.items()
    )


def facts(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is known of the patient and the scan, a few words each."""
    sex, age, slice_mm = metadata.get("sex"), metadata.get("age_years"), metadata.get("slice_mm")
    scanner = " ".join(str(part) for part in (metadata.get("manufacturer"), metadata.get("model")) if part)
    day = metadata.get("day")
    said = (
        {"F": "woman", "M": "man"}.get(str(sex)),
        None if age is None else f"{age:.0f}{'+' if age >= 90 else ''} years",
        scanner or None,
        metadata.get("kernel") and f"kernel {metadata['kernel']}",
        None if slice_mm is None else f"{slice_mm:g} mm slices",
        None if day is None else f"day {day}",
    )
    return tuple(fact for fact in said if fact)


def marked(text: str, sentences: Sequence[str]) -> tuple[Piece, ...]:
    """Cut a text at the sentences that matched; a sentence that is not there word for word is passed over."""
    found = [re.escape(sentence) for sentence in sorted(sentences, key=len, reverse=True) if sentence]
    if not found:
        return (Piece(text, matched=False),) if text else ()
    parts = re.split(f"({'|'.join(found)})", text)
    return tuple(Piece(part, matched=odd % 2 == 1) for odd, part in enumerate(parts) if part)
