"""A question in words becomes units: findings and other words, each asked for or asked to be absent."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache

from sqlalchemy import text as sql
from sqlalchemy.engine import Connection

from encoders.abnormalities import ABNORMALITIES
from encoders.negation import Said, split_by_polarity
from encoders.other_wordings import ABBREVIATIONS, OTHERS
from encoders.plain_words import plain_words
from encoders.sentences import split_text, words_said
from encoders.wordings import EIGHTEEN, Finding
from retrieval.query_words import FUNCTION, MODIFIERS

LONGEST_QUESTION = 4000  # characters that are searched for; a report is shorter
MOST_TERMS = 24
_NEAR = 0.8  # of difflib's ratio: "plueral" is "pleural" (0.86), "nodule" no "module" of anything
_LOOSE = 2  # other words that may stand between those of a wording
_SEPARATOR = re.compile(r"[,;:+&]|\b(?:and|or|with|plus|as well as)\b")
_VESSEL_WORDS = frozenset(plain_words("coronary artery calcification plaque stent atheroma atherosclerosis"))
_SHORTHAND = ((re.compile(r"\bw/o\b", re.I), "without"), (re.compile(r"\bw/(?=\s|\w)", re.I), "with "))


@dataclass(frozen=True, slots=True)
class Term:
    """What is looked up in one sentence, as text of PostgreSQL's tsquery."""

    said: str
    surest: str = ""
    traces: str = ""
    ruled_out_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A finding, or words that belong together; the more of its terms one sentence has, the better."""

    name: str
    denied: bool
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class AskedSentence:
    """A sentence of a question, as written and in plain words."""

    text: str
    said: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuery:
    """What a text asks for."""

    units: tuple[Unit, ...] = ()
    stems: tuple[str, ...] = ()  # of what is no finding: where, how large, how many
    sentences: tuple[AskedSentence, ...] = ()
    labels: tuple[str, ...] = ()  # of the 18, asked for
    absent_labels: tuple[str, ...] = ()  # of the 18, asked to be absent
    notes: tuple[str, ...] = field(default=())  # how unknown words were read

    def affirming(self) -> "TextQuery":
        """Return what is asked to be there: most of a report's sentences deny what nobody has."""
        affirmed = tuple(unit for unit in self.units if not unit.denied)
        return replace(self, units=affirmed) if affirmed else self

    @property
    def only_denies(self) -> bool:
        """Whether nothing is asked for but absences."""
        return bool(self.units) and all(unit.denied for unit in self.units)


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    stem: str
    segment: int


def parse(connection: Connection, text: str) -> TextQuery:
    """Read a question.

    Args:
        connection: to the archive, whose server makes the stems and knows which words its reports have.
        text: a few words, a sentence, or a report; past LONGEST_QUESTION it is not read.
    """
    for short, long in _SHORTHAND:
        text = short.sub(long, text)
    sentences = split_text(text[:LONGEST_QUESTION])
    parts = [
        (part, denied)
        for said in map(split_by_polarity, sentences)
        for part, denied in ((f"{said.affirmed}, {said.hedged}", False), (said.denied, True))
    ]
    segments = [(_pieces(part), denied) for part, denied in parts]
    words = {word for pieces, _ in segments for piece in pieces for word in piece}
    read_as, notes = _known_words(connection, words)
    stem_of = stems(connection, {read for reads in read_as.values() for read in reads})
    units: list[Unit] = []
    labels: dict[bool, set[str]] = {False: set(), True: set()}
    asked: list[str] = []
    for pieces, denied in segments:
        tokens = [
            _Token(read, stem_of[read], number)
            for number, piece in enumerate(pieces)
            for word in piece
            for read in read_as[word]
        ]
        found = _recognised(connection, tokens)
        units += [_finding_unit(connection, finding, denied) for finding, _ in found]
        labels[denied].update(label for finding, _ in found for label in _labels(finding))
        taken = {place for _, places in found for place in places}
        units += _word_units(tokens, taken, denied=denied)
        asked += [
            token.stem
            for place, token in enumerate(tokens)
            if place not in taken and token.word not in FUNCTION
        ]
    return TextQuery(
        units=_distinct(units),
        stems=tuple(dict.fromkeys(asked))[:MOST_TERMS],
        sentences=tuple(AskedSentence(sentence, words_said(sentence)) for sentence in sentences),
        labels=tuple(name for name in ABNORMALITIES if name in labels[False]),
        absent_labels=tuple(name for name in ABNORMALITIES if name in labels[True] - labels[False]),
        notes=notes,
    )


_STEMS: dict[str, str] = {}


def stems(connection: Connection, words: Iterable[str]) -> Mapping[str, str]:
    """Return PostgreSQL's stem of each plain word; those of the wordings are asked for once."""
    wanted = set(words)
    stem_of = {word: _STEMS[word] for word in wanted & _STEMS.keys()}
    unknown = sorted(wanted - stem_of.keys())
    if unknown:
        rows = connection.execute(
            sql(
                "SELECT word, (tsvector_to_array(to_tsvector('radiology', word)))[1] "
                "FROM unnest(CAST(:words AS text[])) AS word"
            ),
            {"words": unknown},
        )
        stem_of |= {word: stem or word for word, stem in rows}
        _STEMS.update({word: stem_of[word] for word in _vocabulary().intersection(unknown)})
    return stem_of


def quoted(stem: str, weight: str = "") -> str:
    """Return a stem as a tsquery writes it."""
    escaped = stem.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'{':' + weight if weight else ''}"


def _pieces(part: str) -> list[tuple[str, ...]]:
    """Cut a part at commas and conjunctions into plain words, abbreviations written out."""
    pieces = [plain_words(piece) for piece in _SEPARATOR.split(part)]
    of_vessels = any(word in _VESSEL_WORDS for piece in pieces for word in piece)
    return [tuple(full for word in piece for full in _written_out(word, of_vessels)) for piece in pieces]


def _written_out(word: str, of_vessels: bool) -> tuple[str, ...]:
    if word not in ABBREVIATIONS or (word == "lad" and of_vessels):
        return (word,)
    return plain_words(ABBREVIATIONS[word])


def _known_words(
    connection: Connection, words: set[str]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Map each word to what it is read as: itself, the nearest known word, or nothing; and say so."""
    read: dict[str, tuple[str, ...]] = {word: (word,) for word in words}
    doubtful = sorted(
        word for word in words if word not in FUNCTION | MODIFIERS | _vocabulary() and not word[0].isdigit()
    )
    if not doubtful:
        return read, ()
    notes = []
    for word in _said_nowhere(connection, doubtful):
        near = get_close_matches(word, sorted(_vocabulary() | MODIFIERS), n=1, cutoff=_NEAR)
        read[word] = tuple(near)
        notes.append(
            f"no report has the word {word!r}; read as {near[0]!r}"
            if near
            else f"no report has the word {word!r}; left out"
        )
    return read, tuple(notes)


def _said_nowhere(connection: Connection, words: Sequence[str]) -> list[str]:
    stem_of = stems(connection, words)
    rows = connection.execute(
        sql(
            "SELECT word FROM unnest(CAST(:words AS text[]), CAST(:queries AS text[])) "
            "AS asked (word, query) "
            "WHERE NOT EXISTS (SELECT FROM report_sentence WHERE said @@ CAST(query AS tsquery)) "
            "AND NOT EXISTS (SELECT FROM report_sentence WHERE denial @@ CAST(query AS tsquery)) "
            "ORDER BY word"
        ),
        {"words": list(words), "queries": [quoted(stem_of[word]) for word in words]},
    )
    return [word for (word,) in rows]


@dataclass(frozen=True, slots=True)
class _Wording:
    finding: Finding
    words: frozenset[str]  # stems
    barred: frozenset[str]


@cache
def _vocabulary() -> frozenset[str]:
    """Return every plain word of the wordings."""
    return frozenset(
        word
        for finding in (*EIGHTEEN, *OTHERS)
        for wording in _every_wording(finding)
        for word in plain_words(wording.replace(" -", " "))
    )


def _every_wording(finding: Finding) -> Iterator[str]:
    for wordings in (finding.said_as, finding.kinds, finding.traces, finding.ruled_out_by, finding.surest):
        yield from wordings


_WORDINGS: list[_Wording] = []


def _wordings(connection: Connection) -> Sequence[_Wording]:
    if not _WORDINGS:
        stem_of = stems(connection, _vocabulary())
        _WORDINGS[:] = [  # at once: other threads may ask meanwhile
            _Wording(
                finding,
                frozenset(stem_of[word] for word in words),
                frozenset(stem_of[word] for word in barred),
            )
            for finding in (*OTHERS, *EIGHTEEN)
            for words, barred in map(_parts, finding.said_as)
        ]
    return _WORDINGS


@cache  # a question by a case names its findings each time
def _parts(wording: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pieces = wording.split()
    return (
        plain_words(" ".join(piece for piece in pieces if not piece.startswith("-"))),
        plain_words(" ".join(piece[1:] for piece in pieces if piece.startswith("-"))),
    )


def _recognised(connection: Connection, tokens: Sequence[_Token]) -> list[tuple[Finding, frozenset[int]]]:
    """Return the findings that words name, each with where; a longer wording outdoes those within it."""
    here = {token.stem for token in tokens}
    matches: dict[frozenset[int], Finding] = {}
    for wording in _wordings(connection):
        if wording.words <= here and not wording.barred & here:
            for places in _places(tokens, wording.words):
                matches.setdefault(places, wording.finding)
    longest = [
        (finding, places)
        for places, finding in matches.items()
        if not any(places < other for other in matches)
    ]
    return sorted(longest, key=lambda match: min(match[1]))


def _places(tokens: Sequence[_Token], words: frozenset[str]) -> Iterator[frozenset[int]]:
    for start, token in enumerate(tokens):
        if token.stem not in words:
            continue
        window = range(start, min(len(tokens), start + len(words) + _LOOSE))
        first: dict[str, int] = {}
        for place in window:
            if tokens[place].stem in words:
                first.setdefault(tokens[place].stem, place)
        if len(first) == len(words):
            yield frozenset(first.values())


def _finding_unit(connection: Connection, finding: Finding, denied: bool) -> Unit:
    said = (*finding.said_as, *finding.kinds)
    term = Term(
        said=any_of(connection, said),
        surest=any_of(connection, finding.surest),
        traces=any_of(connection, finding.traces),
        ruled_out_by=any_of(connection, finding.ruled_out_by),
    )
    return Unit(name=finding.name, denied=denied, terms=(term,))


_ANY_OF: dict[tuple[str, ...], str] = {}  # by wordings: a question by a case asks for its findings each time


def any_of(connection: Connection, wordings: Sequence[str]) -> str:
    """Return a tsquery that matches a sentence with any of the wordings.

    One that holds all words of a shorter one is left out: the shorter decides, and the lookup is quicker.
    """
    if (known := _ANY_OF.get(tuple(wordings))) is not None:
        return known
    stem_of = stems(connection, _vocabulary())
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


def _word_units(tokens: Sequence[_Token], taken: set[int], *, denied: bool) -> list[Unit]:
    """Make a unit of the words of each stretch that are no finding; of its places and sizes only if alone."""
    left = [token for place, token in enumerate(tokens) if place not in taken and token.word not in FUNCTION]
    salient = [token for token in left if token.word not in MODIFIERS and not token.word[0].isdigit()]
    if not salient and not taken:
        salient = left
    units = []
    for number in dict.fromkeys(token.segment for token in salient):
        mine = dict.fromkeys(token.stem for token in salient if token.segment == number)
        name = " ".join(dict.fromkeys(token.word for token in salient if token.segment == number))
        units.append(Unit(name=name, denied=denied, terms=tuple(Term(quoted(stem)) for stem in mine)))
    return units


def _labels(finding: Finding) -> list[str]:
    """Return the finding's own name if it is one of the 18, or those of the 18 of which it is a kind."""
    if finding.name in ABNORMALITIES:
        return [finding.name]
    mine = set(finding.said_as)
    return [one.name for one in EIGHTEEN if mine & set(one.kinds)]


def _distinct(units: Sequence[Unit]) -> tuple[Unit, ...]:
    """Drop repeats, and what is too much: as many units as have MOST_TERMS terms together."""
    kept, terms = [], 0
    for unit in dict.fromkeys(units):
        terms += len(unit.terms)
        if terms <= MOST_TERMS:
            kept.append(unit)
    return tuple(kept)
