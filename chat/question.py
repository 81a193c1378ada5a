"""A question becomes parts: what is asked for, of which topics, each affirmed or denied.

What is a finding and what a question denies is read as everywhere else (`retrieval.known_findings`,
`retrieval.telegraphic`, `encoders.negation`); no model is asked.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from chat.question_kinds import CASE_WORDS, FRAMES, IMAGE, KINDS, WHY, Kind
from chat.question_words import ORGANS, PLACES, STATED
from chat.sentence_reading import (
    Stems,
    asked_wordings,
    first_of_family,
    own_stems,
    place_of,
    word_stem,
)
from encoders.negation import split_by_polarity
from encoders.other_wordings import ABBREVIATIONS
from encoders.plain_words import plain_words
from retrieval.known_findings import Named, findings_in, is_one_word_more
from retrieval.misspelt import one_letter_away
from retrieval.ordinary_words import ORDINARY_WORDS
from retrieval.query_words import FUNCTION, MODIFIERS
from retrieval.stems import vocabulary
from retrieval.telegraphic import in_sentences

_PARTS = re.compile(
    r"\?+\s*|;\s*|\.\s+(?=[A-Za-z])|,?\s+(?:and|or)\s+(?=(?:did|do|does|is|are|was|were|has|have|how"
    r"|which|what|where|when|who)\b)",
    re.IGNORECASE,
)
LOOKS_LIKE_A_NAME = re.compile(r"\b[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*_[A-Za-z0-9]+\b")
_TAG_QUESTION = re.compile(r",\s*(?:right|correct|yes|no|is (?:it|there)|isn't (?:it|there)|ok)\s*$")
_SEGMENTS = re.compile(r"[,;:+&]|\b(?:and|or|nor|neither|with|plus|as well as|but)\b")
_SIDES_AND_LOBES = "right left bilateral both upper lower middle lobe segment apex apical basal lingula"
_FRAMED_FIRST: tuple[Kind, ...] = ("size", "location", "number", "count", "days", "change", "largest")
_LIMIT = re.compile(
    r"\b(?:(larger|bigger|greater|more|wider|thicker|longer|over|above|exceed\w*|at least)|smaller|less"
    r"|under|below|thinner|shorter|at most)\b(?: than)?\s*(\d+(?:\.\d+)?)\s*(mm|cm)\b"
    r"|([<>])=?\s*(\d+(?:\.\d+)?)\s*(mm|cm)\b"
)
_PRONOUN = re.compile(r"\b(?:it|its|they|them|their|that|those|this one|there|the same)\b")
_GOES_ON = re.compile(r"^(?:and|what about|how about|or|also|so|then)\b")
_GENERIC = frozenset(
    word_stem(word)
    for word in re.findall(
        r"\w+",
        """
        lung lungs pulmonary structure structures change changes disease process disorder
        pattern type configuration common vessel vessels tissue difference significant number
        numbers specific increase increased involvement due mm cm size sizes area areas region
        regions parenchyma parenchymal thin
        """,
    )
)
_SILENT = frozenset(word_stem(word) for word in FUNCTION) | STATED
_MODIFIER_STEMS = frozenset(first_of_family(word_stem(word)) for word in MODIFIERS)
PLACE_STEMS = PLACES
_YES_NO = next(pattern for kind, pattern in KINDS if kind == "presence")
_ADVISED = re.compile(r"\b(?:need\w*|recommend\w*|requir\w*|advis\w*|suggest\w*|necessary)\b")
_ASKS_WHICH = re.compile(r"\b(?:what|which|where|who|whose|why|how|when|describe|explain|tell)\b")
_ASKS_HOW_LARGE = re.compile(r"\b(?:how|mm|cm|what|than|or)\b")
_WHERE = frozenset(first_of_family(word_stem(word)) for word in _SIDES_AND_LOBES.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What is asked about: a finding, or words that must stand together; and how it is narrowed down."""

    name: str
    finding: int | None = None  # its place among `known_findings`
    beside: frozenset[int] = frozenset()  # findings that the same sentence must have: a ground-glass nodule
    words: Stems = frozenset()  # that stand in the sentence too
    places: Stems = frozenset()
    details: Stems = frozenset()  # "large", "mild"
    longer_mm: float | None = None  # "larger than 5 mm"
    shorter_mm: float | None = None
    denied: bool = False

    @property
    def limited(self) -> bool:
        """Whether a size is asked for too."""
        return self.longer_mm is not None or self.shorter_mm is not None

    @property
    def narrowed(self) -> bool:
        """Whether a place or a degree is asked for too."""
        return bool(self.places or self.details) or self.limited


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that is asked."""

    text: str
    kind: Kind
    topics: tuple[Topic, ...] = ()
    yes_no: bool = False  # "is there …?", to be answered with yes or no
    asks_why: bool = False
    about_image: bool = False
    notes: tuple[str, ...] = field(default=())  # how misspelt words were read


def understand(
    question: str, earlier: Part | None = None, *, names: tuple[str, ...] = ()
) -> tuple[Part, ...]:
    """Return what is asked, part by part.

    Args:
        question: as typed.
        earlier: what was asked before it, for "and how large is it?".
        names: of cases, which are no words of a report.
    """
    parts: list[Part] = []
    for text in _PARTS.split(question):
        if text.strip():
            parts.append(_completed(_part(text.strip(), names), parts[-1] if parts else earlier))
    return tuple(parts)


def without_names(text: str, names: Sequence[str]) -> str:
    """Return a question with "this case" for every name, and for whatever looks like one."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "this case", text, flags=re.IGNORECASE)
    return LOOKS_LIKE_A_NAME.sub("this case", text)


@lru_cache(maxsize=1000)  # one question is read by what picks, what drafts and what checks
def _part(text: str, names: tuple[str, ...]) -> Part:
    bare = without_names(text, names).lower().replace("’", "'")
    lowered = _TAG_QUESTION.sub("", " ".join(bare.split()))
    words, notes = _spelt(lowered)
    limit = _LIMIT.search(words)
    words = _LIMIT.sub(" ", words)
    kind = _kind(words)
    topics = tuple(_limited(topic, limit) for topic in _topics(words, kind))
    if kind is None:
        names_findings = any(topic.finding is not None for topic in topics)
        kind = "presence" if names_findings and not _ASKS_WHICH.search(words) else "free"
    return Part(
        text=text,
        kind=kind,
        topics=topics,
        yes_no=bool(_YES_NO.match(words)) or kind == "presence",
        asks_why=bool(WHY.search(words)),
        about_image=bool(IMAGE.search(words)),
        notes=notes,
    )


def _limited(topic: Topic, limit: re.Match[str] | None) -> Topic:
    if limit is None:
        return topic
    mm = float(limit[2] or limit[5]) * (10 if (limit[3] or limit[6]) == "cm" else 1)
    if limit[1] or limit[4] == ">":
        return replace(topic, name=f"{topic.name} over {mm:g} mm", longer_mm=mm)
    return replace(topic, name=f"{topic.name} under {mm:g} mm", shorter_mm=mm)


def _kind(words: str) -> Kind | None:
    advised = _ADVISED.search(words)
    kind = next(
        (kind for kind, pattern in KINDS if pattern.search(words) and not (kind == "days" and advised)), None
    )
    if kind in ("size", "location") and _YES_NO.match(words) and not _ASKS_HOW_LARGE.search(words):
        return "presence"  # "is the heart size normal?", "is it located in the upper lobe?"
    return kind


def _completed(part: Part, earlier: Part | None) -> Part:
    """Give a question that goes on what the one before it was about."""
    if earlier is None or part.topics:
        return part if part.kind != "free" or earlier is None else _same_of_other(part, earlier)
    lowered = part.text.lower()
    if part.kind == "free" and _GOES_ON.match(lowered):
        return replace(earlier, text=part.text, notes=part.notes)
    if _PRONOUN.search(lowered) or _GOES_ON.match(lowered):
        return replace(part, topics=earlier.topics)
    return part


def _same_of_other(part: Part, earlier: Part) -> Part:
    if _GOES_ON.match(part.text.lower()) and earlier.kind not in ("free", "overview"):
        return replace(part, kind=earlier.kind, yes_no=earlier.yes_no)
    return part


def _spelt(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a question with words that nobody writes read as the medical word one letter away."""
    notes = []
    for word in dict.fromkeys(re.findall(r"[a-z]{6,}", text)):
        if not _is_known(word) and (near := one_letter_away(word, sorted(vocabulary()))):
            text = re.sub(rf"\b{word}\b", near, text)
            notes.append(f"“{word}” was read as “{near}”.")
    return text, tuple(notes)


def _is_known(word: str) -> bool:
    plain = plain_words(word)
    return (
        word in ORDINARY_WORDS
        or all(
            one in vocabulary() | FUNCTION | MODIFIERS or word_stem(one) in _known_stems() for one in plain
        )
        or word in ABBREVIATIONS
    )


@cache
def _known_stems() -> frozenset[str]:
    return frozenset(word_stem(word) for word in vocabulary() | FUNCTION | MODIFIERS)


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
            if place not in taken and word in kept and word_stem(word) not in _SILENT and token not in own
        }
        yield from _narrowed(named, left, denied)


def _narrowed(named: Sequence[Named], left: Mapping[str, str], denied: bool) -> Iterable[Topic]:
    places = frozenset(token for token in left if token in PLACE_STEMS)
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
    elif words or places or (details | frozenset(left)) & ORGANS:
        yield Topic(
            name=" ".join(left.values()),
            words=words | places | details | (frozenset(left) & ORGANS if not words else frozenset()),
            denied=denied,
        )


def _merged(topics: Sequence[Topic]) -> Iterable[Topic]:
    """Give places and degrees that stand alone to the finding before them."""
    kept: list[Topic] = []
    for topic in topics:
        bare = topic.finding is None and topic.words <= (PLACE_STEMS | _MODIFIER_STEMS)
        if bare and kept and kept[-1].finding is not None:
            last = kept[-1]
            places = last.places | (topic.words & PLACE_STEMS)
            kept[-1] = replace(last, places=places, details=last.details | (topic.words - PLACE_STEMS))
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
