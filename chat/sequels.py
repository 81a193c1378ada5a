"""Sentences that go on about what stands before them: "It measured 12 mm", "the largest of these lesions"."""

import re
from dataclasses import replace

from chat.evidence import CaseEvidence, Quote
from chat.question_words import ORGANS, ORGANS_WITH_LESIONS, PLACES
from chat.sentence_reading import ReadSentence, read_sentence
from chat.stems import Stems, canonical

_GOES_ON = re.compile(
    r"^(?:it|its|they|their|this|these|some|in the (?:previous|prior|earlier)|the (?:largest|biggest"
    r"|longest|widest|thickest|shortest|diameters?|sizes?|dimensions?|(?:short|long) ax[ie]s|described"
    r"|lesions?|mass|nodules?|other|former|latter)|both of)\b",
    re.IGNORECASE,
)
_THEREFORE = re.compile(r"^(?:therefore|thus|hence)\b", re.IGNORECASE)
_THE_SAME = re.compile(r"\b(?:the|this|these) (?:described )?(\w+)", re.IGNORECASE)
_SPEAKS_BACK = re.compile(
    r"^(?:although |however,? |but )?(?:it|its|they|their|this|these|the (?:largest|biggest|described))\b"
    r"|\b(?:described|mentioned|these)\b",
    re.IGNORECASE,
)
_FARTHEST_BACK = 3  # sentences
_MOST_SEQUELS = 3
_OPENING_WORDS = 4  # of a sentence, in which "the height loss" takes up what the one before named


def sequels_of(case: CaseEvidence, quote: Quote, words: Stems = frozenset()) -> list[Quote]:
    """Return the sentences that go on from one, each from the one before it; see `sequel_of`."""
    sequels: list[Quote] = []
    while len(sequels) < _MOST_SEQUELS and (
        following := sequel_of(case, sequels[-1] if sequels else quote, words)
    ):
        sequels.append(following)
    return sequels


def sequel_of(case: CaseEvidence, quote: Quote, words: Stems = frozenset()) -> Quote | None:
    """Return the next sentence of a section if it speaks of the same without naming another finding.

    Args:
        case: whose report it is.
        quote: a sentence of it.
        words: what is asked about, which "the …" may take up again.
    """
    following = _neighbour(case, quote, 1)
    if following is None or any(read_sentence(following.text).findings):
        return None
    goes_on = _GOES_ON.match(following.text) or _THEREFORE.match(following.text)
    return following if goes_on or _takes_up(following.text, words - PLACES - ORGANS) else None


def read_in_place(case: CaseEvidence, quote: Quote) -> ReadSentence:
    """Read a sentence with what its neighbours add: the organ it speaks back of, and how it goes on."""
    read = read_sentence(quote.text)
    sequel = sequel_of(case, quote)
    if sequel is not None:
        going_on = read_sentence(sequel.text)
        read = replace(read, continued=going_on.affirmed, continued_mm=going_on.sizes_mm)
    organs = _organs_before(case, quote) if _SPEAKS_BACK.search(quote.text) else None
    return replace(read, inherited=organs) if organs else read


def _takes_up(text: str, words: Stems) -> bool:
    opening = " ".join(text.split()[:_OPENING_WORDS])
    if any(words.issuperset(canonical(match[1])) for match in _THE_SAME.finditer(text)):
        return True
    return text.startswith("The ") and 2 * len(words & frozenset(canonical(opening))) > len(words)


def _organs_before(case: CaseEvidence, quote: Quote) -> Stems:
    """Return the organs of the nearest sentence before that names any, as long as each speaks back."""
    here: Quote | None = quote
    for _ in range(_FARTHEST_BACK):
        if here is None or (own := read_sentence(here.text).words & ORGANS_WITH_LESIONS):
            return own if here is not None and here != quote else frozenset()
        here = _neighbour(case, here, -1) if _SPEAKS_BACK.search(here.text) else None
    return frozenset()


def _neighbour(case: CaseEvidence, quote: Quote, step: int) -> Quote | None:
    return next(
        (
            other
            for other in case.sentences
            if other.section == quote.section and other.sentence == quote.sentence + step
        ),
        None,
    )
