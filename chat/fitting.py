"""Whether a sentence that speaks of a topic speaks of the place, the degree and the size asked for."""

from collections.abc import Sequence

from chat.question_words import NARROWER, ORGANS, PARTS, PLACES, SIDES, SMALL, SMALL_MM
from chat.sentence_reading import Phrase, ReadSentence, own_stems
from chat.states import NORMAL, says_what_is_wrong
from chat.stems import Stems, canonical
from chat.topics import Topic

_EVERYWHERE = frozenset(canonical("parenchyma parenchymal level lobe segment gland"))
_MEDIASTINAL = frozenset(
    canonical("mediastinum prevascular paratracheal pretracheal subcarinal aortopulmonary paraaortic")
)
_BOTH = frozenset(canonical("bilateral bilaterally both"))


def fits(topic: Topic, read: ReadSentence, *, denied: bool) -> bool | None:
    """Whether a sentence speaks of the place and degree asked for; None: it cannot be told."""
    if denied:
        return not _of_other_side(topic.places, read.words) and _denied_there(topic, read)
    if not is_as_asked(topic, read):
        return False
    if topic.finding is None:
        if says_what_is_wrong(topic.words, read):
            return True
        if topic.words <= ORGANS | PLACES or topic.words & NORMAL:
            return None  # "is the heart …?" has no yes, and what is normal is for the reader to judge
        return True if any(says_more(topic.words, phrase.words) for phrase in read.phrases) else None
    return _at_place(topic, read) if topic.places else True


def _denied_there(topic: Topic, read: ReadSentence) -> bool:
    """Whether a denial holds where it is asked: it names that place, or none but sides."""
    asked = topic.places - SIDES.keys() - _BOTH
    if all(_has(place, read.words) for place in asked):
        return True
    named = read.words & PLACES - SIDES.keys() - _BOTH - _EVERYWHERE - own_stems(topic.finding)
    return not named - topic.words


def is_as_asked(topic: Topic, read: ReadSentence) -> bool:
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
    if topic.limit_itself and longest in (topic.longer_mm, topic.shorter_mm):
        return True
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
    return topic.finding in phrase.findings or is_named_as_asked(topic, phrase.words)


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


def says_more(words: Stems, here: Stems) -> bool:
    """Whether a sentence has each word, or one that says it more narrowly: a mass for a lesion."""
    return bool(words) and all(word in here or _narrower(word, words) & here for word in words)


def _narrower(word: str, asked: Stems) -> Stems:
    """Return what says a word more narrowly; nothing where the question does so itself: a mass lesion."""
    narrower = NARROWER.get(word, frozenset())
    return frozenset() if narrower & asked else narrower


def is_named_as_asked(topic: Topic, words: Stems) -> bool:
    """Whether words have what a question named a finding by, where reports do so less surely."""
    return bool(topic.asked_as) and topic.asked_as <= words and not topic.barred & words
