"""What the report of a case says of a topic: present, possible, absent, elsewhere, or nothing."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chat.evidence import CaseEvidence, Quote
from chat.fitting import fits, is_as_asked, is_named_as_asked, says_more
from chat.sentence_reading import ReadSentence, known_findings, read_sentence
from chat.sequels import read_report, sequel_of, sequels_of
from chat.states import denies_by_opposite, says_what_is_wrong
from chat.stems import Stems
from chat.topics import Topic
from encoders.abnormalities import ABNORMALITIES

Status = Literal["present", "possible", "absent", "unclear", "elsewhere", "silent"]
Said = Literal["affirmed", "hedged", "denied"]
_SAID: tuple[Said, ...] = ("affirmed", "hedged", "denied")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A status, and the sentences it rests on; `near` are those that say the finding but not where or how."""

    status: Status
    quotes: tuple[Quote, ...] = ()
    near: tuple[Quote, ...] = ()

    @property
    def is_there(self) -> bool:
        """Affirmed, or thought possible."""
        return self.status in ("present", "possible")


def verdict(case: CaseEvidence, topic: Topic) -> Verdict:
    """Judge a topic by every sentence of a case's report.

    A sentence that affirms it outweighs one that denies it (of another side, or lobe); one that leaves it
    open outweighs a denial too, as nothing that may be there is called absent.
    """
    found: dict[Said, list[Quote]] = {said: [] for said in _SAID}
    unclear: list[Quote] = []
    elsewhere: list[Quote] = []
    for quote, read in zip(case.sentences, read_report(case.sentences), strict=True):
        said = said_of(topic, read)
        if said is None:
            continue
        fitting = fits(topic, read, denied=said == "denied")
        if fitting:
            found[said] += _with_what_it_needs(topic, case, quote, read)
        elif fitting is None:
            unclear.append(quote)
        elif said != "denied":
            elsewhere.append(quote)
    if elsewhere and topic.limited:
        found["denied"] = []  # "no new nodule" says nothing of how large the others are
    status = _status(found, unclear, elsewhere)
    return Verdict(
        status=status,
        quotes=tuple(_standing(status, found, unclear)),
        near=tuple(elsewhere),
    )


def told_of(case: CaseEvidence, topic: Topic) -> list[Quote]:
    """Return what a report says of a topic where it does not deny it, each sentence with its sequels."""
    return [quote for passage in passages_on(case, topic) for quote in passage]


def passages_on(
    case: CaseEvidence, topic: Topic, *, also: re.Pattern[str] | None = None
) -> Iterator[list[Quote]]:
    """Yield each sentence of a report that says a topic and does not deny it, with its sequels.

    Args:
        case: whose report it is.
        topic: what is asked about.
        also: how a denial reads that is told too: "the effusion of the previous examination is not seen".
    """
    for quote, read, said in mentions(case, topic):
        told = said != "denied" or (also is not None and also.search(quote.text))
        if told and fits(topic, read, denied=False) is not False:
            yield [quote, *sequels_of(case, quote, topic.words)]


def _with_what_it_needs(topic: Topic, case: CaseEvidence, quote: Quote, read: ReadSentence) -> list[Quote]:
    """Return a sentence, and its sequel where only that tells the degree or the size asked for."""
    alone = replace(read, continued=frozenset(), continued_mm=())
    sequel = None if is_as_asked(topic, alone) else sequel_of(case, quote)
    return [quote] if sequel is None else [quote, sequel]


def mentions(case: CaseEvidence, topic: Topic) -> Iterator[tuple[Quote, ReadSentence, Said]]:
    """Yield every sentence of a case that says anything of a topic, wherever and however."""
    for quote, read in zip(case.sentences, read_report(case.sentences), strict=True):
        if quote.text.endswith(";") and not any(read.findings):
            continue  # "When examined in the lung window;" leads to what is said
        said = said_of(topic, read)
        if said is not None:
            yield quote, read, said


def said_of(topic: Topic, read: ReadSentence) -> Said | None:
    """Return how a sentence speaks of a topic; None: it does not."""
    if topic.finding is None:
        return _said_of_words(topic.words, read)
    for place, said in enumerate(_SAID):
        if topic.finding in read.findings[place]:
            return _with_words(said, topic.words, read) if _has_all(topic.beside, read) else None
    if is_named_as_asked(topic, read.words):
        said_so = _said_of_words(topic.asked_as, read)
        return _with_words(said_so, topic.words, read) if said_so and _has_all(topic.beside, read) else None
    if not is_one_of_the_18(topic) and not topic.words and denies_by_opposite(topic.typed, read):
        return "denied"
    if topic.finding in read.ruled_out and not topic.words:
        return "denied"
    return None


def is_one_of_the_18(topic: Topic) -> bool:
    """Whether a topic is a finding that CT-RATE's reports are labelled for."""
    return (
        topic.finding is not None
        and not topic.beside
        and known_findings()[topic.finding].name in ABNORMALITIES
    )


def traces_of(case: CaseEvidence, topic: Topic) -> list[Quote]:
    """Return the sentences that say what comes near a finding, and is not it."""
    if topic.finding is None or topic.words or topic.beside:
        return []
    return [
        quote
        for quote in case.sentences
        if topic.finding in (read := read_sentence(quote.text)).traces
        and not any(topic.finding in found for found in read.findings)
    ]


def _said_of_words(words: Stems, read: ReadSentence) -> Said | None:
    if says_more(words, read.affirmed):
        return "affirmed"
    if not words or not words <= read.words:
        if words and says_what_is_wrong(words, read):
            return "affirmed"
        return "denied" if denies_by_opposite(words, read) else None
    return "hedged" if words <= read.affirmed | read.hedged else "denied"


def _has_all(beside: frozenset[int], read: ReadSentence) -> bool:
    return beside <= frozenset().union(*read.findings)


def _with_words(said: Said, words: Stems, read: ReadSentence) -> Said | None:
    if not words <= read.words:
        return None
    return "denied" if words - read.affirmed - read.hedged else said


def _status(found: dict[Said, list[Quote]], unclear: Sequence[Quote], elsewhere: Sequence[Quote]) -> Status:
    if found["affirmed"]:
        return "present"
    if found["hedged"]:
        return "possible"
    if unclear:
        return "unclear"
    if found["denied"]:
        return "absent"
    return "elsewhere" if elsewhere else "silent"


def _standing(status: Status, found: dict[Said, list[Quote]], unclear: Sequence[Quote]) -> list[Quote]:
    match status:
        case "present":
            return [*found["affirmed"], *found["hedged"]]
        case "possible":
            return found["hedged"]
        case "unclear":
            return list(unclear)
        case "absent":
            return found["denied"]
    return []
