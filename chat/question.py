"""A question becomes parts: what is asked for, of which topics, each affirmed or denied.

What is a finding and what a question denies is read as everywhere else (`retrieval.known_findings`,
`retrieval.telegraphic`, `encoders.negation`); no model is asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from chat.question_kinds import AGENT, AHEAD, IMAGE, KINDS, OTHER_EXAMINATION, Kind
from chat.stems import word_stem
from chat.topics import Topic, topics_of, without_limit
from encoders.other_wordings import ABBREVIATIONS
from encoders.plain_words import plain_words
from retrieval.misspelt import one_letter_away
from retrieval.ordinary_words import ORDINARY_WORDS
from retrieval.query_words import FUNCTION, MODIFIERS
from retrieval.stems import vocabulary

_PARTS = re.compile(
    r"\?+\s*|;\s*|\.\s+(?=[A-Za-z])|,?\s+(?:and|or)\s+(?=(?:did|do|does|is|are|was|were|has|have|how"
    r"|which|what|where|when|who)\b)",
    re.IGNORECASE,
)
MOST_PARTS = 8  # more are no question of a person
LOOKS_LIKE_A_NAME = re.compile(r"\b[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*_[A-Za-z0-9]+\b")
_OPENING = re.compile(
    r"^(?:yes or no|true or false|question|please answer|hi|hello|hey|ok|okay|thanks)\b[\s:,.!-]*"
)
_WRITTEN_APART = (("gall bladder", "gallbladder"), ("disk", "disc"), ("x ray", "x-ray"))
_TAG_QUESTION = re.compile(r",\s*(?:right|correct|yes|no|is (?:it|there)|isn't (?:it|there)|ok)\s*$")
_PRONOUN = re.compile(r"\b(?:it|its|they|them|their|that|those|this one|there|the same)\b")
_GOES_ON = re.compile(r"^(?:and|what about|how about|or|also|so|then)\b")
_CHANGE = next(pattern for kind, pattern in KINDS if kind == "change")
_YES_NO = next(pattern for kind, pattern in KINDS if kind == "presence")
_ADVISED = re.compile(r"\b(?:need\w*|recommend\w*|requir\w*|advis\w*|suggest\w*|necessary)\b")
_ASKS_WHEN = re.compile(r"\b(?:how (?:many|much|long|soon)|when|interval|days?|time|between)\b")
_ASKS_WHICH = re.compile(r"\b(?:what|which|where|who|whose|why|how|when|describe|explain|tell)\b")
_ASKS_HOW_LARGE = re.compile(r"\b(?:how|mm|cm|what|than|or)\b")
_A_SCAN = re.compile(r"(?<=\bthis )volume\b(?! loss)|(?<=\bct )volume\b")
"""A volume that is a scan; of a lobe that loses volume reports speak too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that is asked."""

    text: str
    kind: Kind
    topics: tuple[Topic, ...] = ()
    yes_no: bool = False  # "is there …?", to be answered with yes or no
    asks_ahead: bool = False  # what will be
    about_image: bool = False
    asks_who: bool = False  # did something
    other_examination: bool = False  # an MRI, a biopsy
    notes: tuple[str, ...] = ()  # how misspelt words were read


def understand(
    question: str, earlier: Part | None = None, *, names: tuple[str, ...] = ()
) -> tuple[Part, ...]:
    """Return what is asked, part by part; no part twice, and no more than MOST_PARTS.

    Args:
        question: as typed.
        earlier: what was asked before it, for "and how large is it?".
        names: of cases, which are no words of a report.
    """
    parts: list[Part] = []
    for text in dict.fromkeys(text.strip() for text in _PARTS.split(question)):
        if text and len(parts) < MOST_PARTS:
            parts.append(_completed(_part(text, names), parts[-1] if parts else earlier))
    return tuple(parts)


def without_names(text: str, names: Sequence[str]) -> str:
    """Return a question with "this case" for every name, and for whatever looks like one."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "this case", text, flags=re.IGNORECASE)
    return LOOKS_LIKE_A_NAME.sub("this case", text)


@lru_cache(maxsize=1000)  # one question is read by what picks, what drafts and what checks
def _part(text: str, names: tuple[str, ...]) -> Part:
    bare = without_names(text, names).lower().replace("’", "'")
    for typed_as, written in _WRITTEN_APART:
        bare = bare.replace(typed_as, written)
    lowered = _TAG_QUESTION.sub("", _OPENING.sub("", " ".join(bare.split())))
    typed, notes = _spelt(lowered)
    words = _A_SCAN.sub("scan", typed)
    kind = _kind(without_limit(words))
    topics = topics_of(words, kind)
    if kind is None:
        names_findings = any(topic.finding is not None for topic in topics)
        kind = "presence" if names_findings and not _ASKS_WHICH.search(words) else "free"
    return Part(
        text=text,
        kind=kind,
        topics=topics,
        yes_no=bool(_YES_NO.match(words)) or kind == "presence",
        asks_ahead=bool(AHEAD.search(words)),
        about_image=bool(IMAGE.search(typed)),
        asks_who=bool(AGENT.search(words)),
        other_examination=bool(OTHER_EXAMINATION.search(words)),
        notes=notes,
    )


def _kind(words: str) -> Kind | None:
    not_of_time = bool(_ADVISED.search(words)) or _asks_what_changed(words)
    kind = next(
        (kind for kind, pattern in KINDS if pattern.search(words) and not (kind == "days" and not_of_time)),
        None,
    )
    if kind in ("size", "location") and _YES_NO.match(words) and not _ASKS_HOW_LARGE.search(words):
        return "presence"  # "is the heart size normal?", "is it located in the upper lobe?"
    return kind


def _asks_what_changed(words: str) -> bool:
    """Whether "at follow-up" only says since when: "did it regress at follow-up?"."""
    return bool(_CHANGE.search(words)) and not _ASKS_WHEN.search(words)


def _completed(part: Part, earlier: Part | None) -> Part:
    """Give a question that goes on what the one before it was about."""
    if earlier is None:
        return part
    if part.topics:
        return _same_of_other(part, earlier) if part.kind == "free" else part
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
    return (
        word in ORDINARY_WORDS
        or word in ABBREVIATIONS
        or all(word_stem(one) in _known_stems() for one in plain_words(word))
    )


@cache
def _known_stems() -> frozenset[str]:
    return frozenset(word_stem(word) for word in vocabulary() | FUNCTION | MODIFIERS)
