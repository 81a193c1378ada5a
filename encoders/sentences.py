"""A report becomes sentences with their section, their place in it, and what they affirm and deny."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from encoders.negation import Said, is_denial, split_by_polarity
from encoders.plain_words import plain_words

SECTIONS = ("clinical_information", "technique", "findings", "impression")

SEARCHED_SECTIONS = ("findings", "impression")
"""What says something of the scan: a question in the clinical information is no finding."""

SENTENCES_VERSION = 1
"""Changes with what is made of a text here, in `negation` or `plain_words`, together with a migration:
upgrading an archive splits the reports of older versions again."""

_ALWAYS_GOES_ON = re.compile(
    r"(?:dr|dres|prof|doc|mr|mrs|ms|st|vs|cf|approx|e\.?g|i\.?e|fig|resp|incl|excl|susp|bilat)"
)
_GOES_ON_BEFORE_SMALL = re.compile(
    r"(?:\d+|no|nr|nos|ca|lab|etc|min|max|dia|diam|ant|post|sup|inf|lat|med|temp|ref|vol|sec|seg|mm|cm|h|p)"
)
_NUMBERED = frozenset({"no", "nr", "nos", "ca"})
_LIST_MARK = re.compile(r"(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4})[.)]")
_LEAD = re.compile(r"(?:when|as far as|in|on|within|according|due|since|upper)\b", re.IGNORECASE)
_CANDIDATE = re.compile(
    r"\n\s*|[.!?]+[\"'”’)\]]*(?=\s|$)|(?<=[a-z]{2})\.(?=[A-Z][a-z])|;\s*|[•·]|\s\"(?=\s[A-Z])"
)
_EDGE = " \t\r\n\"'“”•·*–—"
_LONGEST_PARENTHESIS = 200
_NOTHING = Said(affirmed="", hedged="", denied="")


class Sections(Protocol):
    """What a report is made of; those that were not given are empty."""

    @property
    def clinical_information(self) -> str: ...  # noqa: D102
    @property
    def technique(self) -> str: ...  # noqa: D102
    @property
    def findings(self) -> str: ...  # noqa: D102
    @property
    def impression(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a report, as written."""

    section: str  # one of SECTIONS
    ordinal: int  # from 1 within the section
    text: str
    negated: bool  # it denies a finding and affirms none
    said: Said = _NOTHING  # in plain words; empty outside SEARCHED_SECTIONS


def split_report(report: Sections) -> tuple[Sentence, ...]:
    """Return every sentence of a report, sections in the order of SECTIONS.

    Args:
        report: its sections as text; an empty section has no sentences.

    Returns:
        Sentences; their texts, one after the other, hold every word of the report.
    """
    return tuple(
        Sentence(section, ordinal, text, is_denial(text), _said(text, section))
        for section in SECTIONS
        for ordinal, text in enumerate(split_text(getattr(report, section)), start=1)
    )


def words_said(sentence: str) -> Said:
    """Return what a sentence affirms, leaves open and denies, in plain words."""
    said = split_by_polarity(sentence)
    return Said(*(" ".join(plain_words(part)) for part in (said.affirmed, said.hedged, said.denied)))


def _said(sentence: str, section: str) -> Said:
    return words_said(sentence) if section in SEARCHED_SECTIONS else _NOTHING


def split_text(text: str) -> tuple[str, ...]:
    """Split running text at sentence ends, line ends and after leads such as "In the lung window;".

    Decimals, abbreviations, list numbers, and question marks within parentheses do not end a sentence; a line
    that goes on in lower case is a wrapped line.
    """
    pieces = (_tidy(piece) for piece in _pieces(text))
    return tuple(piece for piece in pieces if any(character.isalnum() for character in piece))


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for match in _CANDIDATE.finditer(text):
        if _ends_sentence(text, start, match):
            yield text[start : match.end()]
            start = match.end()
    yield text[start:]


def _tidy(piece: str) -> str:
    return " ".join(piece.split()).strip(_EDGE)


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    before = text[start : match.start()]
    after = text[match.end() :].lstrip()[:1]
    if match[0][0] == "\n":
        return not after.islower() or before.rstrip().endswith((".", ";", ":", "?", "!"))
    if match[0].strip() in ("•", "·", '"'):
        return True
    if _inside_parenthesis(before) and ")" not in match[0]:
        return False
    if match[0][0] == ";":
        return not after.islower() or _LEAD.match(before.strip(_EDGE)) is not None
    if match[0][0] in "!?":
        return not after.islower()
    return not _is_abbreviation(before, after)


def _inside_parenthesis(before: str) -> bool:
    opened = before.rfind("(")
    return opened > before.rfind(")") and len(before) - opened < _LONGEST_PARENTHESIS


def _is_abbreviation(before: str, after: str) -> bool:
    """Whether the full stop after `before` belongs to its last word."""
    if _LIST_MARK.fullmatch(before.strip(_EDGE) + "."):
        return True
    words = before.split()
    word = words[-1].lstrip("(\"'").lower() if words else ""
    if _ALWAYS_GOES_ON.fullmatch(word):
        return True
    if _GOES_ON_BEFORE_SMALL.fullmatch(word):
        return after.islower() or (word in _NUMBERED and after.isdigit())
    return False
