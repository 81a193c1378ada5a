"""What a question is about: findings and other words, asked for or denied, and how they are narrowed down."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from textwrap import shorten

from chat.question_kinds import CASE_WORDS, FRAMES, Kind
from chat.question_words import NARROWING, ORGANS, PLACES, SILENT
from chat.sentence_reading import asked_wordings, own_stems, place_of
from chat.stems import Stems, canonical_stem, first_of_family, word_stem, wording_stems
from encoders.negation import split_by_polarity
from encoders.other_wordings import ABBREVIATIONS
from encoders.plain_words import plain_words
from encoders.wordings import EIGHTEEN
from retrieval.known_findings import Named, findings_in, is_one_word_more
from retrieval.query_words import MODIFIERS
from retrieval.telegraphic import in_sentences

_LONGEST_NAME = 60  # characters of what was asked that a refusal repeats
_SEGMENTS = re.compile(r"[,;:+&]|\b(?:and|or|nor|neither|with|plus|as well as|but)\b")
_MORE = r"larger|bigger|greater|more|wider|thicker|longer|over|above|exceed\w*|up(?:wards)?"
_LESS = r"smaller|less|under|below|thinner|shorter|down(?:wards)?"
_LENGTH, _UNIT = r"\d+(?:[.,]\d+)?", r"mm|cm|millimet\w+|centimet\w+"
_LIMIT = re.compile(
    rf"\b(?:of |with |measuring )?(?:(?P<least>at least)|(?P<most>at most)|(?P<more>{_MORE})|(?:{_LESS}))\b"
    rf"(?: than)?\s*(?P<mm>{_LENGTH})\s*(?P<unit>{_UNIT})\b"
    rf"|(?P<sign>[<>≥≤]=?)\s*(?P<mm_signed>{_LENGTH})\s*(?P<unit_signed>{_UNIT})\b"
    rf"|\b(?:of |with |measuring )?(?P<mm_first>{_LENGTH})\s*(?P<unit_first>{_UNIT})"
    rf"(?: (?:or|and) (?:(?P<or_more>{_MORE})|(?:{_LESS}))\b|\s*\+)"
)
_SIDES_AND_LOBES = "right left bilateral both upper lower middle lobe segment apex apical basal lingula"
_WHERE = frozenset(first_of_family(word_stem(word)) for word in _SIDES_AND_LOBES.split())
_FRAMED_FIRST: tuple[Kind, ...] = ("size", "location", "number", "count", "days", "change", "largest")
_GENERIC = frozenset(
    word_stem(word)
    for word in re.findall(
        r"\w+",
        """
        lung lungs pulmonary structure structures change changes disease process disorder
        pattern type configuration common vessel vessels tissue difference significant number
        numbers specific increase increased involvement due mm cm size sizes area areas region
        regions parenchyma parenchymal thin ratio index
        """,
    )
)
_MODIFIER_STEMS = frozenset(first_of_family(word_stem(word)) for word in MODIFIERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What is asked about: a finding, or words that must stand together; and how it is narrowed down."""

    name: str
    finding: int | None = None  # its place among `known_findings`
    beside: frozenset[int] = frozenset()  # findings that the same sentence must have: a ground-glass nodule
    typed: Stems = frozenset()  # words that name the finding
    asked_as: Stems = frozenset()  # words that name the finding in a question, and less surely in a report
    barred: Stems = frozenset()  # words beside which they do not
    words: Stems = frozenset()  # that stand in the sentence too
    places: Stems = frozenset()
    details: Stems = frozenset()  # "large", "mild"
    longer_mm: float | None = None  # "larger than 5 mm"
    shorter_mm: float | None = None
    limit_itself: bool = False  # counts too: "at least 5 mm"
    denied: bool = False

    @property
    def limited(self) -> bool:
        """Whether a size is asked for too."""
        return self.longer_mm is not None or self.shorter_mm is not None

    @property
    def narrowed(self) -> bool:
        """Whether a place or a degree is asked for too."""
        return bool(self.places or self.details) or self.limited


def topics_of(text: str, kind: Kind | None) -> tuple[Topic, ...]:
    """Return what one part of a question is about.

    Args:
        text: in lower case, without the names of cases.
        kind: what is asked for; its frame ("how large is …") is no topic.
    """
    limit = _LIMIT.search(text)
    return tuple(_limited(topic, limit) for topic in _topics(without_limit(text), kind))


def without_limit(text: str) -> str:
    """Return a question without "larger than 5 mm", which is neither a size asked for nor a comparison."""
    return _LIMIT.sub(" ", text)


def _limited(topic: Topic, limit: re.Match[str] | None) -> Topic:
    if limit is None:
        return topic
    length = limit["mm"] or limit["mm_signed"] or limit["mm_first"]
    unit = limit["unit"] or limit["unit_signed"] or limit["unit_first"]
    mm = float(length.replace(",", ".")) * (10 if unit.startswith("c") else 1)
    sign = limit["sign"] or ""
    itself = bool(
        limit["least"] or limit["most"] or limit["mm_first"] or sign[:1] in ("≥", "≤") or "=" in sign
    )
    plus = bool(limit["mm_first"]) and limit[0].endswith("+")
    if limit["least"] or limit["more"] or limit["or_more"] or plus or sign[:1] in (">", "≥"):
        least = "of at least" if itself else "over"
        return replace(topic, name=f"{topic.name} {least} {mm:g} mm", longer_mm=mm, limit_itself=itself)
    most = "of at most" if itself else "under"
    return replace(topic, name=f"{topic.name} {most} {mm:g} mm", shorter_mm=mm, limit_itself=itself)


def _topics(text: str, kind: Kind | None) -> Iterable[Topic]:
    said = split_by_polarity(in_sentences(text))
    for part, denied in ((f"{said.affirmed}, {said.hedged}", False), (said.denied, True)):
        rest = CASE_WORDS.sub(" ", part)
        found = list(_in_segments(rest, kind, denied))
        yield from _merged(found)


def _in_segments(text: str, kind: Kind | None, denied: bool) -> Iterable[Topic]:
    """Read findings before the frame is taken away: "wall thickness" is a size, and part of a finding."""
    for segment in _SEGMENTS.split(text):
        framed = _tokens(FRAMES[kind].sub(" ", segment)) if kind in FRAMES else _tokens(segment)
        tokens = framed if kind in _FRAMED_FIRST else _tokens(segment)
        named = [
            one
            for one in findings_in(asked_wordings(), [token for _, token in tokens])
            if not is_one_word_more(one.finding)
        ]
        kept = {word for word, _ in framed}
        taken = {place for one in named for place in one.places}
        own = {token for one in named for token in own_stems(place_of(one.finding.name))} - _WHERE
        left = {
            token: word
            for place, (word, token) in enumerate(tokens)
            if word in kept
            and word_stem(word) not in SILENT
            and (token in NARROWING if place in taken or token in own else True)
        }
        for topic in _narrowed(named, left, denied):
            yield _with_what_named_it(topic, named[-1], tokens) if named else topic


def _with_what_named_it(topic: Topic, named: Named, tokens: Sequence[tuple[str, str]]) -> Topic:
    """Keep the words a finding was asked by, where a report with these alone is not read as having it."""
    typed = frozenset(tokens[place][1] for place in named.places)
    barred = _asked_alone().get((topic.finding, typed))
    topic = replace(topic, typed=typed)
    return topic if barred is None else replace(topic, asked_as=typed, barred=barred)


@cache
def _asked_alone() -> Mapping[tuple[int | None, Stems], Stems]:
    """Return what bars each wording that only questions name a finding by."""
    return {
        (place_of(finding.name), words): barred
        for finding in EIGHTEEN
        for wording in finding.asked_as
        for words, barred in (wording_stems(wording, canonical_stem),)
    }


def _narrowed(named: Sequence[Named], left: Mapping[str, str], denied: bool) -> Iterable[Topic]:
    places = frozenset(token for token in left if token in PLACES)
    details = frozenset(
        token for token in left if token in _MODIFIER_STEMS and token not in places and token not in _GENERIC
    )
    words = frozenset(
        token for token in left if token not in places and token not in details and token not in _GENERIC
    )
    if named:
        *others, last = named
        yield Topic(
            name=" ".join(one.finding.name for one in named),
            finding=place_of(last.finding.name),
            beside=frozenset(place_of(one.finding.name) for one in others) - {place_of(last.finding.name)},
            words=words,
            places=places,
            details=details,
            denied=denied != last.against,
        )
    elif any(not word.isdigit() for word in words) or places or (details | frozenset(left)) & ORGANS:
        yield Topic(
            name=shorten(" ".join(left.values()), _LONGEST_NAME, placeholder=" …"),
            words=words | places | details | (frozenset(left) & ORGANS if not words else frozenset()),
            denied=denied,
        )


def _merged(topics: Sequence[Topic]) -> Iterable[Topic]:
    """Give places and degrees that stand alone to the finding before them."""
    kept: list[Topic] = []
    for topic in topics:
        bare = topic.finding is None and topic.words <= (PLACES | _MODIFIER_STEMS)
        if bare and kept and kept[-1].finding is not None:
            last = kept[-1]
            places = last.places | (topic.words & PLACES)
            kept[-1] = replace(last, places=places, details=last.details | (topic.words - PLACES))
        elif topic not in kept:
            kept.append(topic)
    return kept


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return words with their stems, abbreviations written out."""
    words = plain_words(text)
    of_vessels = any(word in ("coronary", "artery", "stent", "plaque") for word in words)
    full = [
        each
        for word in words
        for each in (
            plain_words(ABBREVIATIONS[word])
            if word in ABBREVIATIONS and not (word == "lad" and of_vessels)
            else (word,)
        )
    ]
    return [(word, first_of_family(word_stem(word))) for word in full]
