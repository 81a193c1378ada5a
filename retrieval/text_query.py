"""A question in words becomes units: findings and other words, each asked for or asked to be absent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from sqlalchemy.engine import Connection

from encoders.abnormalities import ABNORMALITIES
from encoders.negation import Said, split_by_polarity
from encoders.other_wordings import ABBREVIATIONS
from encoders.plain_words import plain_words
from encoders.sentences import split_text, words_said
from encoders.wordings import Finding
from retrieval.known_findings import Named, any_of, broader, is_one_word_more, named_findings, own_stems
from retrieval.misspelt import Reading, read_words
from retrieval.query_words import FUNCTION, MODIFIERS
from retrieval.stems import families, quoted, stems, vocabulary
from retrieval.telegraphic import in_sentences

LONGEST_QUESTION = 4000  # characters that are searched for; a report is shorter
MOST_TERMS = 24
_SEPARATOR = re.compile(r"[,;:+&]|\b(?:and|or|with|plus|as well as)\b")
_VESSEL_WORDS = frozenset(plain_words("coronary artery calcification plaque stent atheroma atherosclerosis"))


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
    sentences = split_text(text[:LONGEST_QUESTION])
    parts = [
        (_pieces(part), denied)
        for said in (split_by_polarity(in_sentences(sentence)) for sentence in sentences)
        for part, denied in ((f"{said.affirmed}, {said.hedged}", False), (said.denied, True))
    ]
    words = {word for pieces, _ in parts for piece in pieces for word in piece}
    reading = _read(connection, words)
    places_alone = not any(_is_salient(word) for word in words - reading.left_out)
    units: list[Unit] = []
    labels: dict[bool, set[str]] = {False: set(), True: set()}
    asked: list[str] = []
    notes = list(reading.notes)
    for pieces, denied in parts:
        tokens, found, read = _recognised(connection, _tokens(connection, pieces, reading), reading)
        notes += read
        for named in found:
            labels[denied != named.against].update(_labels(named.finding))
        found = [named for named in found if not _needs_its_words(named, found, tokens)]
        units += [_finding_unit(connection, one.finding, denied != one.against) for one in found]
        taken = {place for one in found for place in one.places} | _said_again(connection, tokens, found)
        left = [one for place, one in enumerate(tokens) if place not in taken and one.word not in FUNCTION]
        asked += [token.stem for token in left]
        looked_up = [one for one in left if _is_salient(one.word) or (places_alone and not found)]
        units += _word_units(looked_up, families(connection), denied=denied)
    return TextQuery(
        units=_distinct(units),
        stems=tuple(dict.fromkeys(asked))[:MOST_TERMS],
        sentences=tuple(AskedSentence(sentence, words_said(sentence)) for sentence in sentences),
        labels=tuple(name for name in ABNORMALITIES if name in labels[False]),
        absent_labels=tuple(name for name in ABNORMALITIES if name in labels[True] - labels[False]),
        notes=tuple(notes),
    )


def _pieces(part: str) -> list[tuple[str, ...]]:
    """Cut a part at commas and conjunctions into plain words, abbreviations written out."""
    pieces = [plain_words(piece) for piece in _SEPARATOR.split(part)]
    of_vessels = any(word in _VESSEL_WORDS for piece in pieces for word in piece)
    return [tuple(full for word in piece for full in _written_out(word, of_vessels)) for piece in pieces]


def _written_out(word: str, of_vessels: bool) -> tuple[str, ...]:
    if word not in ABBREVIATIONS or (word == "lad" and of_vessels):
        return (word,)
    return plain_words(ABBREVIATIONS[word])


def _read(connection: Connection, words: set[str]) -> Reading:
    """Read the words that are neither grammar nor known; the rest stay as they are."""
    known = vocabulary() | MODIFIERS
    doubtful = sorted(word for word in words - known - FUNCTION if not word[0].isdigit())
    return read_words(connection, stems(connection, doubtful), known, doubtful) if doubtful else Reading()


def _tokens(connection: Connection, pieces: Sequence[Sequence[str]], reading: Reading) -> list[_Token]:
    read = [
        (reading.instead.get(word, word), number)
        for number, piece in enumerate(pieces)
        for word in piece
        if word not in reading.left_out
    ]
    stem_of = stems(connection, {word for word, _ in read})
    return [_Token(word, stem_of[word], number) for word, number in read]


def _recognised(
    connection: Connection, tokens: list[_Token], reading: Reading
) -> tuple[list[_Token], list[Named], list[str]]:
    """Return words, the findings they name, and which of them were read otherwise to name one."""
    found = named_findings(connection, [token.stem for token in tokens])
    notes = []
    for place, token in enumerate(tokens):
        near = reading.perhaps.get(token.word)
        if near is None or any(place in named.places for named in found):
            continue
        stem = stems(connection, [near])[near]
        otherwise = [*tokens[:place], _Token(near, stem, token.segment), *tokens[place + 1 :]]
        named_so = named_findings(connection, [one.stem for one in otherwise])
        if any(place in named.places for named in named_so):
            tokens, found = otherwise, named_so
            notes.append(f"hardly any report has the word {token.word!r}; read as {near!r}")
    return tokens, found, notes


def _said_again(connection: Connection, tokens: Sequence[_Token], found: Sequence[Named]) -> set[int]:
    """Return the places of words that only repeat a finding beside them: the airways of bronchiectasis."""
    return {
        place
        for named in found
        for place, token in enumerate(tokens)
        if token.segment in {tokens[each].segment for each in named.places}
        and token.stem in own_stems(connection, named.finding)
    }


def _needs_its_words(named: Named, found: Sequence[Named], tokens: Sequence[_Token]) -> bool:
    """Whether a word says what it is with those beside it only: a "breast implant" is not any implant."""
    if not is_one_word_more(named.finding):
        return False
    taken = {place for one in found for place in one.places}
    here = {tokens[place].segment for place in named.places}
    return any(
        token.segment in here and _is_salient(token.word)
        for place, token in enumerate(tokens)
        if place not in taken
    )


def _finding_unit(connection: Connection, finding: Finding, denied: bool) -> Unit:
    """Ask for a finding and its traces; without any, what it is a kind of is one, but denies no absence."""
    kin = [word for one in broader(finding) for word in (*one.said_as, *one.kinds)]
    traces = finding.traces if finding.traces or denied else kin
    term = Term(
        said=any_of(connection, (*finding.said_as, *finding.kinds)),
        surest=any_of(connection, finding.surest),
        traces=any_of(connection, traces),
        ruled_out_by=any_of(connection, finding.ruled_out_by),
    )
    return Unit(name=finding.name, denied=denied, terms=(term,))


def _word_units(tokens: Sequence[_Token], kin: Mapping[str, tuple[str, ...]], *, denied: bool) -> list[Unit]:
    """Make a unit of the words of each stretch that are no finding; of its places and sizes only if alone."""
    units = []
    for _, stretch in groupby(tokens, key=lambda token: token.segment):
        mine = list(stretch)
        terms = dict.fromkeys(kin.get(token.stem, (token.stem,)) for token in mine)
        units.append(
            Unit(
                name=" ".join(dict.fromkeys(token.word for token in mine)),
                denied=denied,
                terms=tuple(Term(" | ".join(map(quoted, family))) for family in terms),
            )
        )
    return units


def _is_salient(word: str) -> bool:
    return word not in FUNCTION | MODIFIERS and not word[0].isdigit()


def _labels(finding: Finding) -> list[str]:
    """Return the finding's own name if it is one of the 18, or those of the 18 of which it is a kind."""
    return [finding.name] if finding.name in ABNORMALITIES else [one.name for one in broader(finding)]


def _distinct(units: Sequence[Unit]) -> tuple[Unit, ...]:
    """Drop repeats, and what is too much: as many units as have MOST_TERMS terms together."""
    kept, terms = [], 0
    for unit in dict.fromkeys(units):
        terms += len(unit.terms)
        if terms <= MOST_TERMS:
            kept.append(unit)
    return tuple(kept)
