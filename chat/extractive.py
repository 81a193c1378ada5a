"""The built-in backend, without a language model: quotes and figures from the evidence, right or silent."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from chat import measured, reported, tallied, told
from chat.backends import Asked
from chat.choices import choose
from chat.draft import NOT_IN_CASES, Line, listed, silent, written
from chat.evidence import CaseEvidence, Evidence
from chat.question import Part, understand
from chat.question_kinds import Kind
from chat.question_words import FOLLOWED
from chat.scope import Scope, asked_cases, names_of, with_their_patients

Answering = Callable[[Part, Sequence[CaseEvidence]], Iterator[Line]]

_ANSWERING: Mapping[Kind, Answering] = {
    "presence": reported.presence,
    "location": reported.location,
    "degree": reported.degree,
    "number": reported.number,
    "free": reported.free,
    "overview": reported.overview,
    "change": reported.change,
    "size": measured.size,
    "largest": measured.largest,
    "count": tallied.count,
    "which": tallied.which,
    "common": tallied.common,
    "days": told.days,
    "person": told.person,
    "score": told.scores,
}
_OVER_TIME: tuple[Kind, ...] = ("days", "change")
_MADE = re.compile(r"\b(?:done|made|performed|taken|carried out|had|undergo\w*|underwent)\b", re.IGNORECASE)
_OF_STUDIES: tuple[Kind, ...] = ("days", "overview")
COMPUTED: frozenset[Kind] = frozenset(("count", "which", "largest", "common", "days", "person", "score"))
"""Whatever the backend, these are worked out from the data and never left to a model."""


class Extractive:
    """Answers with whole sentences of the reports, and with numbers worked out from what is stored."""

    name = "extractive"
    takes_volumes = False

    def stream(self, asked: Asked) -> Iterator[str]:
        """Yield the answer line by line; a part that the cases do not answer says so and nothing else."""
        if asked.mode == "report_generation":
            yield from _stored_reports(asked.evidence)
            return
        yield from _joined(_lines(asked))


def _lines(asked: Asked) -> Iterator[Line]:
    if asked.mode == "multiple_choice":
        yield from choose(asked.question, asked.evidence.cases)
        return
    for part, scope in _scopes(asked_parts(asked), asked.evidence.cases):
        lines = answer_part(part, scope, asked.evidence)
        yield from (_shortened(lines) if asked.mode == "short_answer" else lines)


def _shortened(lines: Iterator[Line]) -> Iterator[Line]:
    """Keep the first statement, and one sentence for it."""
    line = next(lines, None)
    if line is not None:
        following = next(lines, None) if not line.quotes else None
        quotes = line.quotes or (following.quotes if following is not None else ())
        yield Line(line.text, quotes[:1])


def _joined(lines: Iterator[Line]) -> Iterator[str]:
    first = True
    for line in lines:
        yield ("" if first else "\n") + written(line)
        first = False
    if first:
        yield written(silent("nothing was asked that a report could answer"))


def asked_parts(asked: Asked) -> tuple[Part, ...]:
    """Return what is asked, each part completed by what was asked before it."""
    names = names_of(asked.evidence.cases)
    part: Part | None = None
    for question, _ in asked.history:
        parts = understand(question, part, names=names)
        part = parts[-1] if parts else part
    return understand(asked.question, part, names=names)


def answer_part(part: Part, scope: Scope, evidence: Evidence) -> Iterator[Line]:
    """Answer one part of a question from the cases that it is about."""
    for note in part.notes:
        yield Line(note)
    if scope.unknown:
        yield silent(f"{listed(scope.unknown)} is not among them")
    elif part.about_image and evidence.has_volume:
        yield silent("what a volume shows needs a model that sees it; these are reports of stored cases")
    elif part.asks_ahead:
        yield silent("reports say what was seen, not what will be")
    elif part.asks_who:
        yield silent("no names of persons are stored")
    elif part.other_examination and part.kind in _OF_STUDIES:
        yield silent("the stored studies and reports are of CTs of the chest")
    elif part.other_examination and part.yes_no and _MADE.search(part.text):
        yield silent("no other examination is stored, only what reports of CTs say")
    elif not scope.cases:
        yield silent("there is no case to answer from")
    else:
        yield from _ANSWERING[part.kind](part, scope.cases)


def _scopes(parts: Sequence[Part], cases: Sequence[CaseEvidence]) -> Iterator[tuple[Part, Scope]]:
    """Yield each part with its cases; "the three most similar" are meant until others are named.

    Other studies of a patient (rank 0) count where time is asked about and from then on, else where named.
    """
    meant = [case for case in cases if case.rank > 0]
    for part in parts:
        scope = asked_cases(part.text, cases, by_place=part.kind not in _OVER_TIME)
        if not scope.narrowed:
            scope = replace(scope, cases=tuple(meant))
        elif scope.cases:
            meant = list(scope.cases)
        if part.kind in _OVER_TIME and (not scope.named or FOLLOWED.search(part.text)):
            scope = replace(scope, cases=tuple(with_their_patients(scope.cases, cases)))
            if FOLLOWED.search(part.text):  # "did it have a follow-up, and how large is it?"
                meant = list(scope.cases)
        yield part, scope


def _stored_reports(evidence: Evidence) -> Iterator[str]:
    """Without a model that sees volumes, the report of a case is the one that is stored."""
    reports = [case for case in evidence.cases if case.sentences]
    if evidence.has_volume or not reports:
        yield f"{NOT_IN_CASES}: a report of a volume needs a model that sees it."
        return
    for number, case in enumerate(reports):
        line = Line(f"The stored report of {case.study}:", case.sentences)
        yield ("\n" if number else "") + written(line)
