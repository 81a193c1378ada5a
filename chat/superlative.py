"""Which sentences of one report speak of the largest: those that say so, and those of the greatest length."""

import re
from collections.abc import Sequence

from chat.evidence import CaseEvidence, Quote
from chat.sentence_reading import read_sentence

_LARGEST = re.compile(r"\b(?:largest|biggest|widest|thickest|longest|greatest)\b", re.IGNORECASE)


def on_the_largest(asked: str, quotes: Sequence[Quote], cases: Sequence[CaseEvidence]) -> list[Quote]:
    """Return, where the largest of one case is asked for, the sentences that speak of it; all otherwise.

    Args:
        asked: the question.
        quotes: sentences on what is asked about.
        cases: that the question is about; over several, `measured.largest` compares them.
    """
    if len(cases) != 1 or not _LARGEST.search(asked):
        return list(quotes)
    longest_mm = max(map(_longest_mm, quotes), default=0)
    return [
        quote
        for quote in quotes
        if _LARGEST.search(quote.text) or (longest_mm and _longest_mm(quote) == longest_mm)
    ]


def _longest_mm(quote: Quote) -> float:
    return max(read_sentence(quote.text).sizes_mm, default=0)
