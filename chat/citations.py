"""Whether what a draft says stands in the stored reports; what does not is dropped, sentence by sentence."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chat.draft import NOT_IN_CASES, citation
from chat.evidence import CaseEvidence, Quote
from chat.question_words import SILENT
from chat.sentence_reading import read_sentence
from chat.stems import canonical

_TAG = re.compile(r"\[([^\[\]\n]{1,200}?) (findings|impression) (\d{1,4})\]")
_OPEN, _CLOSE = "“", "”"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_END = re.compile(r"\n+|(?<=[.!?\]])\s+(?=[A-Z“•*-])")
_SHARE_SAID = 0.5  # of a sentence's own words that must stand in what it cites
_SIDES = frozenset(canonical("right left"))
_BILATERAL = frozenset(canonical("bilateral bilaterally both"))

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Checked:
    """A sentence of a draft that holds, and the stored sentences it rests on."""

    text: str
    citations: tuple[Quote, ...]


class Checker:
    """Checks sentences of drafts against the cases they may speak of."""

    def __init__(self, cases: Sequence[CaseEvidence]) -> None:
        self._stored: Mapping[Key, Quote] = {
            (quote.study, quote.section, quote.sentence): quote for case in cases for quote in case.sentences
        }

    def computed(self, line: str) -> Checked | None:
        """Check a line that was worked out from the data: every quote must be the stored sentence.

        Returns:
            The line; None where a citation leads nowhere or a quote is not what is stored there.
        """
        found = list(self._cited(line))
        if any(quote is None for quote, _ in found):
            return None
        return Checked(line, tuple(dict.fromkeys(quote for quote, _ in found if quote is not None)))

    def claimed(self, sentence: str) -> Checked | None:
        """Check a sentence that a model wrote: what it cites must exist and say as much.

        Returns:
            The sentence; None where it cites nothing, or what is not there, or what does not support it. A
            refusal needs no citation.
        """
        if sentence.strip().startswith(NOT_IN_CASES):
            return Checked(sentence, ())
        found = list(self._cited(sentence))
        quotes = tuple(dict.fromkeys(quote for quote, _ in found if quote is not None))
        if not found or len(quotes) < len({span for _, span in found}):
            return None
        claim = "".join(_outside(sentence, [span for _, span in found]))
        return Checked(sentence, quotes) if _supports(claim, quotes) else None

    def cites(self, sentence: str) -> bool:
        """Whether a sentence says that it rests on a report, rightly or not."""
        return sentence.strip().startswith(NOT_IN_CASES) or any(True for _ in self._cited(sentence))

    def _cited(self, text: str) -> Iterator[tuple[Quote | None, tuple[int, int]]]:
        """Yield what a text cites; what looks like a citation inside a quoted sentence is that sentence's."""
        place = 0
        while place < len(text):
            opened, tag = text.find(_OPEN, place), _TAG.search(text, place)
            if opened >= 0 and (tag is None or opened < tag.start()):
                quote, end = self._quoted(text, opened)
                if quote is not None or end > opened + 1:
                    yield quote, (opened, end)
                place = end
            elif tag is not None:
                yield self._stored.get((tag[1], tag[2], int(tag[3]))), tag.span()
                place = tag.end()
            else:
                return

    def _quoted(self, text: str, opened: int) -> tuple[Quote | None, int]:
        """Return the stored sentence that is quoted word for word, and where its citation ends."""
        for tag in _TAG.finditer(text, opened):
            quote = self._stored.get((tag[1], tag[2], int(tag[3])))
            if (
                quote is not None
                and text[opened : tag.end()] == f"{_OPEN}{quote.text}{_CLOSE} {citation(quote)}"
            ):
                return quote, tag.end()
        closed = text.find(_CLOSE, opened)
        follows = _TAG.match(text, closed + 2) if closed > 0 else None
        return None, follows.end() if follows else opened + 1


def sentences(draft: str) -> tuple[list[str], str]:
    """Return the finished sentences of a draft, and the rest that may go on; a citation ends a sentence."""
    parts, start = [], 0
    for end in _END.finditer(draft):
        if draft.count(_OPEN, start, end.start()) <= draft.count(_CLOSE, start, end.start()):
            parts.append(draft[start : end.end()])
            start = end.end()
    return parts, draft[start:]


def _outside(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[str]:
    place = 0
    for first, last in spans:
        yield text[place:first]
        place = last
    yield text[place:]


def _supports(claim: str, quotes: Sequence[Quote]) -> bool:
    """Whether stored sentences say what a sentence claims: findings, denials, numbers, sides, words."""
    said, read = read_sentence(claim), [read_sentence(quote.text) for quote in quotes]
    there = frozenset().union(*(each.findings[0] | each.findings[1] for each in read))
    absent = frozenset().union(*(each.findings[2] | each.ruled_out for each in read))
    words = frozenset().union(*(each.words for each in read))
    if not said.findings[0] | said.findings[1] <= there or not said.findings[2] <= absent:
        return False
    text = " ".join(quote.text for quote in quotes)
    if not set(_NUMBER.findall(claim)) <= set(_NUMBER.findall(text)):
        return False
    sides = said.words & _SIDES
    if sides and not sides <= words and not _BILATERAL & words:
        return False
    own = {word for word in said.words if word not in SILENT and not word[0].isdigit()}
    return len(own & words) >= _SHARE_SAID * len(own)
