"""Sentences that go on about what the one before them named: "It measured 12 mm"."""

import re

from chat.evidence import CaseEvidence, Quote
from chat.sentence_reading import read_sentence
from chat.topics import Topic
from chat.verdicts import fits, mentions

_GOES_ON = re.compile(
    r"^(?:it|its|they|their|this|these|some|in the (?:previous|prior|earlier)|the (?:largest|biggest"
    r"|described"
    r"|lesions?|mass|nodules?|other|former|latter)|both of)\b",
    re.IGNORECASE,
)


def told_of(case: CaseEvidence, topic: Topic) -> list[Quote]:
    """Return what a report says of a topic where it does not deny it, each sentence with its sequel."""
    return [
        each
        for quote, read, said in mentions(case, topic)
        if said != "denied" and fits(topic, read, denied=False) is not False
        for each in _with_sequel(case, quote)
    ]


def _with_sequel(case: CaseEvidence, quote: Quote) -> tuple[Quote, ...]:
    """Return a sentence, and the next of its section if that speaks of the same without naming it."""
    following = next(
        (
            other
            for other in case.sentences
            if other.section == quote.section and other.sentence == quote.sentence + 1
        ),
        None,
    )
    if following is None or not _GOES_ON.match(following.text):
        return (quote,)
    return (quote,) if any(read_sentence(following.text).findings) else (quote, following)
