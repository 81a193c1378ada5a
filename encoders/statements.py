"""A report as statements: the stems of what each sentence affirms, leaves open and denies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from encoders.plain_words import plain_words
from encoders.sentences import split_text, words_said

STATEMENTS_VERSION = 1
"""Changes with what is made of a report here; a model that was fitted to another version is refused."""

_LONGEST_REPORT = 200_000  # characters: what follows is no report
_ENDINGS = re.findall(  # the longer before those that they end in
    r"\w+", "ational ations ation ements ement ments ment ings ing edly ions ion ed ies es ical ally ic s e y"
)
_SHORTEST_STEM = 4


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence as stems, in order."""

    affirmed: tuple[str, ...]
    hedged: tuple[str, ...]  # thought possible, asked, not excluded
    denied: tuple[str, ...]

    @property
    def suggested(self) -> tuple[str, ...]:
        """What is affirmed or thought possible: an annotator ticks both."""
        return self.affirmed + self.hedged


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return a plain word without its ending: "enlarged" and "enlargement" become one."""
    if word[0].isdigit():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    plural = word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word


def stems(text: str) -> tuple[str, ...]:
    """Return the stems of a text, in order."""
    return tuple(stem(word) for word in plain_words(text))


def statements(report: str) -> tuple[Statement, ...]:
    """Return what a report says, sentence by sentence.

    Args:
        report: as written, its sections one after the other.
    """
    return tuple(_statement(sentence) for sentence in split_text(report[:_LONGEST_REPORT]))


def joined(sections: Sequence[str]) -> str:
    """Return sections as one text whose sentences stay apart."""
    return "\n".join(section.strip().rstrip(".") + "." for section in sections if section.strip())


@lru_cache(maxsize=20_000)  # radiologists repeat themselves
def _statement(sentence: str) -> Statement:
    said = words_said(sentence)
    return Statement(*(tuple(map(stem, part.split())) for part in (said.affirmed, said.hedged, said.denied)))
