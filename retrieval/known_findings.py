"""Which findings, of those known by their wordings, a question names; how reports are asked for them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy.engine import Connection

from encoders.other_wordings import OTHERS
from encoders.plain_words import plain_words
from encoders.wordings import EIGHTEEN, Finding
from retrieval.stems import families, quoted, stems, vocabulary

_LOOSE = 2  # other words that may stand between those of a wording


@dataclass(frozen=True, slots=True)
class Named:
    """A finding that a question names, and by which of its words."""

    finding: Finding
    places: frozenset[int]
    against: bool  # by words that rule it out


@dataclass(frozen=True, slots=True)
class StemmedWording:
    """A wording that questions use, as stems."""

    finding: Finding
    words: frozenset[str]  # stems, the first of a family standing for all of it
    barred: frozenset[str]
    against: bool


_WORDINGS: list[StemmedWording] = []


def named_findings(connection: Connection, stems_in_order: Sequence[str]) -> list[Named]:
    """Return the findings that words name, in their order; a longer wording outdoes those within it."""
    kin = families(connection)
    return findings_in(_wordings(connection), [_first(kin, stem) for stem in stems_in_order])


def findings_in(wordings: Sequence[StemmedWording], tokens: Sequence[str]) -> list[Named]:
    """Return the findings that stems name, each the first of its family, in their order."""
    here = set(tokens)
    matches: dict[frozenset[int], Named] = {}
    for wording in wordings:
        if wording.words <= here and not wording.barred & here:
            for places in _places(tokens, wording.words):
                matches.setdefault(places, Named(wording.finding, places, wording.against))
    longest = [named for places, named in matches.items() if not any(places < other for other in matches)]
    return sorted(longest, key=lambda named: min(named.places))


def broader(finding: Finding) -> list[Finding]:
    """Return those of the 18 of which a finding is a kind."""
    mine = set(finding.said_as)
    return [one for one in EIGHTEEN if one.name != finding.name and mine & set(one.kinds)]


def own_stems(connection: Connection, finding: Finding) -> frozenset[str]:
    """Return the stems of all words that a finding is named by."""
    if finding.name not in _OWN:
        stem_of, kin = stems(connection, vocabulary()), families(connection)
        words = {word for wording in (*finding.said_as, *finding.asked_as) for word in _parts(wording)[0]}
        own = {stem_of[word] for word in words}
        _OWN[finding.name] = frozenset(one for stem in own for one in kin.get(stem, (stem,)))
    return _OWN[finding.name]


_OWN: dict[str, frozenset[str]] = {}


def is_one_word_more(finding: Finding) -> bool:
    """Whether it is only a word that is a kind of one of the 18: "implant", of a breast or a hip."""
    return finding.said_as == (finding.name,)


def any_of(connection: Connection, wordings: Sequence[str]) -> str:
    """Return a tsquery that matches a sentence with any of the wordings.

    One that holds all words of a shorter one is left out: the shorter decides, and the lookup is quicker.
    """
    if (known := _ANY_OF.get(tuple(wordings))) is not None:
        return known
    stem_of = stems(connection, vocabulary())
    parts = [
        (frozenset(stem_of[word] for word in words), frozenset(stem_of[word] for word in barred))
        for words, barred in map(_parts, wordings)
    ]
    shortest = [part for part in dict.fromkeys(parts) if not any(other < part[0] for other, _ in parts)]
    _ANY_OF[tuple(wordings)] = " | ".join(
        f"({' & '.join([*map(quoted, sorted(words)), *(f'!{quoted(stem)}' for stem in sorted(barred))])})"
        for words, barred in shortest
    )
    return _ANY_OF[tuple(wordings)]


_ANY_OF: dict[tuple[str, ...], str] = {}  # by wordings: a question by a case asks for its findings each time


def _wordings(connection: Connection) -> Sequence[StemmedWording]:
    if not _WORDINGS:
        stem_of, kin = stems(connection, vocabulary()), families(connection)
        _WORDINGS[:] = stemmed_wordings(stem_of.__getitem__, kin)  # at once: other threads may ask meanwhile
    return _WORDINGS


def stemmed_wordings(
    stem_of: Callable[[str], str], kin: Mapping[str, tuple[str, ...]]
) -> list[StemmedWording]:
    """Return what findings are asked by, as stems of one's own; a family is its first stem."""
    return [
        StemmedWording(
            finding,
            frozenset(_first(kin, stem_of(word)) for word in words),
            frozenset(_first(kin, stem_of(word)) for word in barred),
            against,
        )
        for finding, wording, against in _asked()
        for words, barred in (_parts(wording),)
    ]


def _asked() -> Iterator[tuple[Finding, str, bool]]:
    """Yield what a finding is asked by: the narrower findings first, as the first of equals is taken."""
    named = {wording for finding in OTHERS for wording in finding.said_as}
    kinds = [
        Finding(name=kind, said_as=(kind,)) for one in EIGHTEEN for kind in one.kinds if kind not in named
    ]
    for finding in (*OTHERS, *kinds, *EIGHTEEN):
        for wording in (*finding.said_as, *finding.asked_as):
            yield finding, wording, False
        for wording in finding.ruled_out_by:
            yield finding, wording, True


@cache  # a question by a case names its findings each time
def _parts(wording: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pieces = wording.split()
    return (
        plain_words(" ".join(piece for piece in pieces if not piece.startswith("-"))),
        plain_words(" ".join(piece[1:] for piece in pieces if piece.startswith("-"))),
    )


def _first(kin: Mapping[str, tuple[str, ...]], stem: str) -> str:
    return kin.get(stem, (stem,))[0]


def _places(tokens: Sequence[str], words: frozenset[str]) -> Iterator[frozenset[int]]:
    for start, token in enumerate(tokens):
        if token not in words:
            continue
        first: dict[str, int] = {}
        for place in range(start, min(len(tokens), start + len(words) + _LOOSE)):
            if tokens[place] in words:
                first.setdefault(tokens[place], place)
        if len(first) == len(words):
            yield frozenset(first.values())
