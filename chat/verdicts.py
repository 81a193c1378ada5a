"""What the report of a case says of a topic: present, possible, absent, elsewhere, or nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chat.evidence import CaseEvidence, Quote
from chat.question_words import NARROWER, ORGANS, PARTS, PLACES, SIDES, SMALL, SMALL_MM
from chat.sentence_reading import (
    Phrase,
    ReadSentence,
    Stems,
    canonical,
    known_findings,
    own_stems,
    read_sentence,
)
from chat.sequels import read_in_place, sequel_of, sequels_of
from chat.states import NORMAL, denies_by_opposite, says_what_is_wrong
from chat.topics import Topic
from encoders.abnormalities import ABNORMALITIES

Status = Literal["present", "possible", "absent", "unclear", "elsewhere", "silent"]
Said = Literal["affirmed", "hedged", "denied"]
_SAID: tuple[Said, ...] = ("affirmed", "hedged", "denied")
_EVERYWHERE = frozenset(canonical("parenchyma parenchymal level lobe segment gland"))
_MEDIASTINAL = frozenset(
    canonical("mediastinum prevascular paratracheal pretracheal subcarinal aortopulmonary paraaortic")
)
_BOTH = frozenset(canonical("bilateral bilaterally both"))


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
    for quote in case.sentences:
        read = read_in_place(case, quote)
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


def passages_on(case: CaseEvidence, topic: Topic) -> Iterator[list[Quote]]:
    """Yield each sentence of a report that says a topic and does not deny it, with its sequels."""
    for quote, read, said in mentions(case, topic):
        if said != "denied" and fits(topic, read, denied=False) is not False:
            yield [quote, *sequels_of(case, quote, topic.words)]


def _with_what_it_needs(topic: Topic, case: CaseEvidence, quote: Quote, read: ReadSentence) -> list[Quote]:
    """Return a sentence, and its sequel where only that tells the degree or the size asked for."""
    alone = replace(read, continued=frozenset(), continued_mm=())
    sequel = None if _is_as_asked(topic, alone) else sequel_of(case, quote)
    return [quote] if sequel is None else [quote, sequel]


def mentions(case: CaseEvidence, topic: Topic) -> Iterator[tuple[Quote, ReadSentence, Said]]:
    """Yield every sentence of a case that says anything of a topic, wherever and however."""
    for quote in case.sentences:
        read = read_in_place(case, quote)
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
    if _is_named_as_asked(topic, read.words):
        said_so = _said_of_words(topic.asked_as, read)
        return _with_words(said_so, topic.words, read) if said_so and _has_all(topic.beside, read) else None
    if not is_one_of_the_18(topic) and not topic.words and denies_by_opposite(topic.typed, read):
        return "denied"
    if topic.finding in read.ruled_out and not topic.words:
        return "denied"
    return None


def _is_named_as_asked(topic: Topic, words: Stems) -> bool:
    return bool(topic.asked_as) and topic.asked_as <= words and not topic.barred & words


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
    if _says_more(words, read.affirmed):
        return "affirmed"
    if not words or not words <= read.words:
        if words and says_what_is_wrong(words, read):
            return "affirmed"
        return "denied" if denies_by_opposite(words, read) else None
    return "hedged" if words <= read.affirmed | read.hedged else "denied"


def _says_more(words: Stems, here: Stems) -> bool:
    """Whether a sentence has each word, or one that says it more narrowly: a mass for a lesion."""
    return bool(words) and all(word in here or _narrower(word, words) & here for word in words)


def _narrower(word: str, asked: Stems) -> Stems:
    """Return what says a word more narrowly; nothing where the question does so itself: a mass lesion."""
    narrower = NARROWER.get(word, frozenset())
    return frozenset() if narrower & asked else narrower


def _has_all(beside: frozenset[int], read: ReadSentence) -> bool:
    return beside <= frozenset().union(*read.findings)


def _with_words(said: Said, words: Stems, read: ReadSentence) -> Said | None:
    if not words <= read.words:
        return None
    return "denied" if words - read.affirmed - read.hedged else said


def fits(topic: Topic, read: ReadSentence, *, denied: bool) -> bool | None:
    """Whether a sentence speaks of the place and degree asked for; None: it cannot be told."""
    if denied:
        return not _of_other_side(topic.places, read.words) and _denied_there(topic, read)
    if not _is_as_asked(topic, read):
        return False
    if topic.finding is None:
        if says_what_is_wrong(topic.words, read):
            return True
        if topic.words <= ORGANS | PLACES or topic.words & NORMAL:
            return None  # "is the heart …?" has no yes, and what is normal is for the reader to judge
        return True if any(_says_more(topic.words, phrase.words) for phrase in read.phrases) else None
    return _at_place(topic, read) if topic.places else True


def _denied_there(topic: Topic, read: ReadSentence) -> bool:
    """Whether a denial holds where it is asked: it names that place, or none but sides."""
    asked = topic.places - SIDES.keys() - _BOTH
    if all(_has(place, read.words) for place in asked):
        return True
    named = read.words & PLACES - SIDES.keys() - _BOTH - _EVERYWHERE - own_stems(topic.finding)
    return not named - topic.words


def _is_as_asked(topic: Topic, read: ReadSentence) -> bool:
    """Whether a sentence, or the one that goes on from it, tells the degree and the size asked for."""
    here = read.words | read.continued
    sizes_mm = (*read.sizes_mm, *read.continued_mm)
    for detail in topic.details - here:
        is_small = detail in SMALL and (SMALL & here or (sizes_mm and max(sizes_mm) <= SMALL_MM))
        if not is_small and not PARTS.get(detail, frozenset()) & here:
            return False
    return not topic.limited or _within_limits(topic, sizes_mm)


def _within_limits(topic: Topic, sizes_mm: Sequence[float]) -> bool:
    longest = max(sizes_mm, default=None)
    if longest is None:
        return False
    return longest > topic.longer_mm if topic.longer_mm is not None else longest < (topic.shorter_mm or 0)


def _at_place(topic: Topic, read: ReadSentence) -> bool | None:
    """Look for the place where the finding is named, then in what stands beside it and names no finding."""
    if not _is_at(topic.places, read.words):
        return bool(read.inherited) and _is_at(topic.places, read.words | read.inherited)
    mine = [place for place, phrase in enumerate(read.phrases) if _names(topic, phrase)]
    if any(_is_at(topic.places, _around(read, place, topic.places)) for place in mine):
        return True
    named = [read.phrases[place].words for place in mine]
    return False if named and all(_of_other_side(topic.places, words) for words in named) else None


def _names(topic: Topic, phrase: Phrase) -> bool:
    return topic.finding in phrase.findings or _is_named_as_asked(topic, phrase.words)


def _around(read: ReadSentence, place: int, asked: Stems) -> Stems:
    """Return the words of a phrase with those of its neighbours that name no finding and no other side."""
    words = read.phrases[place].words
    for step in (-1, 1):
        other = place + step
        while 0 <= other < len(read.phrases) and not read.phrases[other].findings:
            if not _of_other_side(asked, read.phrases[other].words):
                words |= read.phrases[other].words
            other += step
    return words


def _is_at(places: Stems, here: Stems) -> bool:
    return all(_has(place, here) for place in places)


def _has(place: str, here: Stems) -> bool:
    if place in _MEDIASTINAL:
        return bool(_MEDIASTINAL & here)
    if place in SIDES:
        return bool(SIDES[place] & here)
    if place in _BOTH:
        return bool(_BOTH & here) or SIDES.keys() <= here
    return place in here


def _of_other_side(places: Stems, here: Stems) -> bool:
    asked = places & SIDES.keys()
    return bool(asked) and bool(here & SIDES.keys()) and not any(_has(side, here) for side in asked)


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
