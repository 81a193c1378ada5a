"""What one stored sentence says: stems and findings by polarity, places, sizes.

The polarity is `encoders.negation`'s and the wordings are `encoders.wordings`'; what is addressed to a
machine is left out (`chat.planted`).
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from chat.planted import readable
from chat.question_words import NOT_BEFORE
from chat.stems import Stems, canonical, canonical_stem, families_of_stems, word_stem, wording_stems
from encoders.label_rules import LabelWording, WordingIndex, stemmed_wording
from encoders.negation import split_by_polarity
from encoders.other_wordings import OTHERS
from encoders.plain_words import plain_words
from encoders.statements import stem
from encoders.word_families import ANATOMY
from encoders.wordings import EIGHTEEN, Finding
from retrieval.known_findings import StemmedWording, stemmed_wordings

_LEFT_OPEN = re.compile(  # beside what `encoders.negation` takes for doubt
    r"\b(?:(?:can ?not|could not|not) be (?:\w+ly )?(?:differentiat|exclud|ruled out|confirm)\w*|dubious"
    r"|unlikely|low probability|less likely|uncertain|doubtful|cannot exclude|evaluat\w+ for)\b",
    re.IGNORECASE,
)
_WITHOUT_CONTRAST = re.compile(  # `encoders.negation` takes it for no denial: of no finding it is one
    r"\b(?:no|without|lack of|absence of|not)\b[^,;.]{0,40}\bcontra[sc]t"
    r"|\bcontra[sc]t\b[^,;.]{0,40}\bnot\b|\bnon-? ?contra[sc]t|\bunenhanced\b",
    re.IGNORECASE,
)
_JUST_APPEARED = re.compile(
    r"\b(?:just|recently|newly) (?:appear|emerg|develop|reveal)\w*|\bemerged\b"
    rf"|{NOT_BEFORE}",
    re.IGNORECASE,
)
_NEW = frozenset(("new",))
_CONTRAST = frozenset(("contrast",))
_MEASURE = re.compile(
    r"(?<![\w.])(\d+(?:[.,]\d+)?)((?:\s*(?:[x×*]|by|-|–|and|to)\s*\d+(?:[.,]\d+)?){0,2})\s*-?\s*(mm|cm"
    r"|millimet\w+|centimet\w+)\b",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^((?:in|at|on|within) [^,;:()]{1,60}),", re.IGNORECASE)  # where all that follows is
_JOINTS = re.compile(r"[,;:()]|\band\b|\bbut\b")
_ONE_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A stretch of a sentence: its stems, and the findings it names whatever it says of them."""

    words: Stems
    findings: frozenset[int]


@dataclass(frozen=True, slots=True)
class ReadSentence:
    """A sentence by what it affirms, leaves open and denies; stems are the first of their families."""

    affirmed: Stems
    hedged: Stems
    denied: Stems
    findings: tuple[frozenset[int], frozenset[int], frozenset[int]]  # affirmed, hedged, denied
    traces: frozenset[int]  # affirmed
    ruled_out: frozenset[int]  # by what is affirmed: "heart size is normal"
    phrases: tuple["Phrase", ...]  # stretches between commas and conjunctions
    sizes_mm: tuple[float, ...]
    continued: Stems = frozenset()  # affirmed by the sentence that goes on from it
    continued_mm: tuple[float, ...] = ()
    inherited: Stems = frozenset()  # organs of the sentence that it goes on from

    @property
    def words(self) -> Stems:
        """All stems, whatever is said of them."""
        return self.affirmed | self.hedged | self.denied


@cache
def known_findings() -> tuple[Finding, ...]:
    """Return the findings that questions can name; sentences and questions speak of them by their place."""
    ours = {wording.finding.name: wording.finding for wording in asked_wordings()}
    first = {finding.name: finding for finding in (*EIGHTEEN, *OTHERS)}
    return (*first.values(), *(finding for name, finding in ours.items() if name not in first))


@cache
def place_of(name: str) -> int:
    """Return where a finding stands among `known_findings`."""
    return next(place for place, finding in enumerate(known_findings()) if finding.name == name)


@cache
def own_stems(finding: int | None) -> Stems:
    """Return the words that only say a finding again: the artery of coronary calcification."""
    if finding is None:
        return frozenset()
    wordings = (*known_findings()[finding].said_as, *known_findings()[finding].asked_as)
    return frozenset(
        token
        for wording in wordings
        for token in canonical(" ".join(word for word in wording.split() if word[0] != "-"))
    )


@cache
def asked_wordings() -> tuple[StemmedWording, ...]:
    """Return what findings are called in questions, in the stems of `canonical`."""
    return tuple(stemmed_wordings(word_stem, families_of_stems()))


@lru_cache(maxsize=50_000)  # radiologists repeat themselves
def read_sentence(text: str) -> ReadSentence:
    """Read one stored sentence.

    Args:
        text: as written.
    """
    text = readable(text)
    said = split_by_polarity(text)
    sure, open_to_doubt = (said.affirmed, said.hedged)
    if _LEFT_OPEN.search(text):
        sure, open_to_doubt = "", f"{said.affirmed} {said.hedged}"
    parts = [plain_words(part) for part in (sure, open_to_doubt, said.denied)]
    affirmed, hedged, denied = (frozenset(map(canonical_stem, part)) for part in parts)
    if _WITHOUT_CONTRAST.search(text):
        affirmed, hedged, denied = affirmed - _CONTRAST, hedged - _CONTRAST, denied | _CONTRAST
    if _JUST_APPEARED.search(sure):
        affirmed |= _NEW
    plain = [tuple(map(_report_stem, part)) for part in parts]
    found = [
        _found(_said_index(), stems) | _found(_anatomy_index(), tuple(map(_anatomy_stem, words)))
        for stems, words in zip(plain, parts, strict=True)
    ]
    return ReadSentence(
        affirmed=affirmed,
        hedged=hedged,
        denied=denied,
        findings=(found[0], found[1], found[2]),
        traces=_found(_trace_index(), plain[0] + plain[1]),
        ruled_out=_found(_against_index(), plain[0]),
        phrases=tuple(_phrase(part) for part in _JOINTS.split(_LEAD.sub(r"\1 ", text)) if part.strip()),
        sizes_mm=sizes_mm(text),
    )


def sizes_mm(text: str) -> tuple[float, ...]:
    """Return the lengths a text gives, in mm: of "18x12 mm" both."""
    found = []
    for match in _MEASURE.finditer(text):
        scale = 10.0 if match[3].lower().startswith("c") else 1.0
        numbers = _ONE_NUMBER.findall(match[1] + match[2])
        found += [float(number.replace(",", ".")) * scale for number in numbers]
    return tuple(found)


def _phrase(text: str) -> Phrase:
    words = plain_words(text)
    named = _found(_said_index(), tuple(map(_report_stem, words)))
    named |= _found(_anatomy_index(), tuple(map(_anatomy_stem, words)))
    return Phrase(frozenset(map(canonical_stem, words)), named)


def _report_stem(word: str) -> str:
    """Return a stem as label rules have it, adverbs aside."""
    return stem(word[:-2] if word.endswith("ically") else word)


def _index(attributes: tuple[str, ...]) -> WordingIndex:
    return WordingIndex(
        [
            stemmed_wording(place, wording)
            for place, finding in enumerate(known_findings())
            for attribute in attributes
            for wording in getattr(finding, attribute)
        ]
    )


@cache
def _said_index() -> WordingIndex:
    return _index(("said_as", "kinds"))


@cache
def _anatomy_index() -> WordingIndex:
    """Return the wordings of what is none of the 18, an organ and its adjective taken for one."""
    return WordingIndex(
        [
            LabelWording(place_of(finding.name), words, barred)
            for finding in OTHERS
            for wording in finding.said_as
            for words, barred in (wording_stems(wording, _anatomy_stem),)
        ]
    )


def _anatomy_stem(word: str) -> str:
    one = word_stem(word)
    return _organs().get(one, one)


@cache
def _organs() -> dict[str, str]:
    return {word_stem(word): word_stem(family[0]) for family in ANATOMY for word in family}


@cache
def _trace_index() -> WordingIndex:
    return _index(("traces",))


@cache
def _against_index() -> WordingIndex:
    return _index(("ruled_out_by",))


def _found(index: WordingIndex, words: tuple[str, ...]) -> frozenset[int]:
    wordings: tuple[LabelWording, ...] = index.wordings
    return frozenset(wordings[number].finding for number in index.found(words))
