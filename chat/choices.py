"""Multiple choice: the one option that the reports support."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from chat.draft import Line, few, listed, silent
from chat.evidence import CaseEvidence
from chat.question import understand
from chat.question_words import PLACES
from chat.topics import Topic
from chat.verdicts import verdict

_OPTION = re.compile(r"(?:^|[\s;,])\(?([A-Ha-h])[).:]\s+")


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a question."""

    letter: str
    text: str


def choices_of(question: str) -> tuple[str, tuple[Choice, ...]]:
    """Return a question without its options, and these; none where it has fewer than two."""
    marks = list(_OPTION.finditer(question))
    if len(marks) < 2:
        return question, ()
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    options = tuple(
        Choice(mark[1].upper(), question[mark.end() : end].strip(" ;,.\n"))
        for mark, end in zip(marks, ends, strict=True)
    )
    return question[: marks[0].start()], options


def choose(question: str, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Name the option that is affirmed where no other is; silent where none is, or more than one."""
    stem, options = choices_of(question)
    if not options:
        yield silent("a multiple-choice question needs two options, as in (a) right lung (b) left lung")
        return
    asked = [topic for part in understand(stem) for topic in part.topics]
    held = []
    for option in options:
        judged = [(case, verdict(case, topic)) for topic in _topics(asked, option) for case in cases]
        quotes = [quote for _, one in judged if one.is_there for quote in one.quotes]
        if quotes:
            held.append((option, quotes))
    if len(held) == 1:
        option, quotes = held[0]
        yield Line(f"({option.letter}) {option.text}:", few(quotes, cases))
    else:
        supported = (
            f"{listed([option.letter for option, _ in held])} alike" if held else "none of the options"
        )
        yield silent(f"the reports support {supported}")


def _topics(asked: Sequence[Topic], option: Choice) -> list[Topic]:
    """Read an option as a finding, or as a place of what the question asks about."""
    own = [topic for part in understand(option.text) for topic in part.topics]
    narrowing = own and all(topic.finding is None and topic.words <= PLACES for topic in own)
    if narrowing and asked:
        places = frozenset().union(*(topic.words for topic in own))
        return [replace(topic, places=topic.places | places) for topic in asked if topic.finding is not None]
    return own
