"""Sentences that go on about what stands before them: "It measured 12 mm", "the largest of these lesions"."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from chat.evidence import CaseEvidence, Quote
from chat.question_words import ORGANS, ORGANS_WITH_LESIONS, PLACES
from chat.sentence_reading import ReadSentence, read_sentence
from chat.stems import Stems, canonical

_GOES_ON = re.compile(
    r"^(?:it|its|they|their|this|these|some|in the (?:previous|prior|earlier)|the (?:largest|biggest"
    r"|longest|widest|thickest|shortest|diameters?|sizes?|dimensions?|(?:short|long) ax[ie]s|described"
    r"|lesions?|mass|nodules?|other|former|latter)|both of|therefore|thus|hence)\b",
    re.IGNORECASE,
)
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
    following = next((one for one in case.sentences if _follows(one, quote)), None)
    if following is None or any(read_sentence(following.text).findings):
        return None
    goes_on = _GOES_ON.match(following.text) or _takes_up(following.text, words - PLACES - ORGANS)
    return following if goes_on else None


@lru_cache(maxsize=2000)  # every topic of a question reads every sentence
def read_report(sentences: tuple[Quote, ...]) -> tuple[ReadSentence, ...]:
    """Read the sentences of a report, each with what its neighbours add: the organ, and how it goes on."""
    reads = [read_sentence(quote.text) for quote in sentences]
    told = list(reads)
    for place, quote in enumerate(sentences):
        if place and _follows(quote, sentences[place - 1]):
            if _GOES_ON.match(quote.text) and not any(reads[place].findings):
                told[place - 1] = replace(
                    told[place - 1],
                    continued=reads[place].affirmed,
                    continued_mm=reads[place].sizes_mm,
                )
            if _SPEAKS_BACK.search(quote.text):
                told[place] = replace(told[place], inherited=_organs_before(sentences, reads, place))
    return tuple(told)


def _follows(quote: Quote, other: Quote) -> bool:
    return quote.sentence == other.sentence + 1 and quote.section == other.section


def _takes_up(text: str, words: Stems) -> bool:
    if not words:
        return False
    if any(words.issuperset(canonical(match[1])) for match in _THE_SAME.finditer(text)):
        return True
    opening = " ".join(text.split()[:_OPENING_WORDS])
    return text.startswith("The ") and 2 * len(words & frozenset(canonical(opening))) > len(words)


def _organs_before(sentences: Sequence[Quote], reads: Sequence[ReadSentence], place: int) -> Stems:
    """Return the organs of the nearest sentence before that names any, as long as each speaks back."""
    for here in range(place, max(place - _FARTHEST_BACK, -1), -1):
        if organs := reads[here].words & ORGANS_WITH_LESIONS:
            return organs if here != place else frozenset()
        goes_back = here and _follows(sentences[here], sentences[here - 1])
        if not goes_back or not _SPEAKS_BACK.search(sentences[here].text):
            break
    return frozenset()
