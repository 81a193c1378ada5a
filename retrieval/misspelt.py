"""Words that a question has and no report: what they were meant to be."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from sqlalchemy import text as sql
from sqlalchemy.engine import Connection

from encoders.plain_words import plain_words
from retrieval.stems import quoted

_NEAR = 0.8  # of difflib's ratio: "plueral" is "pleural" (0.86), "nodule" no "module" of anything
_RARE = 5  # sentences: a word that fewer have may be as misspelt there as in the question
_SHORTEST = 5  # letters: of a shorter word too many are one letter away
_SAMPLE = 4000  # sentences that the archive's own words are taken from


@dataclass(frozen=True, slots=True)
class Reading:
    """What words are read as."""

    instead: Mapping[str, str] = field(default_factory=dict)  # of words that no report has
    left_out: frozenset[str] = frozenset()  # words that no report has, and that are near to none
    perhaps: Mapping[str, str] = field(default_factory=dict)  # of rare words, where it makes a finding
    notes: tuple[str, ...] = ()  # a sentence for each word of no report


def read_words(
    connection: Connection, stem_of: Mapping[str, str], known: Collection[str], words: Sequence[str]
) -> Reading:
    """Read the words of a question that the project does not know.

    Args:
        connection: to the archive.
        stem_of: PostgreSQL's stem of each word.
        known: words that the project knows.
        words: those to be read.
    """
    count = _said_how_often(connection, stem_of, words)
    nowhere = frozenset(word for word in words if not count[word])
    instead = {word: near for word in sorted(nowhere) if (near := _nearest(word, known))}
    if strange := sorted(nowhere - instead.keys()):
        own = _own_words(connection)
        instead |= {word: near for word in strange if (near := _nearest(word, own))}
    perhaps = {
        word: near for word in words if 0 < count[word] < _RARE and (near := one_letter_away(word, known))
    }
    notes = tuple(
        f"no report has the word {word!r}; "
        + (f"read as {instead[word]!r}" if word in instead else "left out")
        for word in sorted(nowhere)
    )
    return Reading(instead, nowhere - instead.keys(), perhaps, notes)


def _said_how_often(
    connection: Connection, stem_of: Mapping[str, str], words: Sequence[str]
) -> dict[str, int]:
    """Count the sentences that have each word, up to _RARE."""
    rows = connection.execute(
        sql(
            "SELECT word, (SELECT count(*) FROM (SELECT FROM report_sentence "
            "WHERE said @@ CAST(query AS tsquery) LIMIT :rare) AS few) "
            "+ (SELECT count(*) FROM (SELECT FROM report_sentence "
            "WHERE denial @@ CAST(query AS tsquery) LIMIT :rare) AS few) AS times "
            "FROM unnest(CAST(:words AS text[]), CAST(:queries AS text[])) AS asked (word, query)"
        ),
        {"words": list(words), "queries": [quoted(stem_of[word]) for word in words], "rare": _RARE},
    )
    return {row.word: row.times for row in rows}


def _own_words(connection: Connection) -> frozenset[str]:
    """Return words that some reports of the archive have more than once."""
    rows = connection.execute(
        sql(
            "SELECT word FROM ts_stat($$SELECT to_tsvector('simple', text) FROM report_sentence "  # noqa: S608
            f"LIMIT {_SAMPLE}$$) WHERE ndoc > 1 AND length(word) >= {_SHORTEST}"
        )
    )
    return frozenset(plain for (word,) in rows for plain in plain_words(word))


def _nearest(word: str, known: Iterable[str]) -> str | None:
    candidates = sorted(known)
    if near := one_letter_away(word, candidates):
        return near
    return next(iter(get_close_matches(word, candidates, n=1, cutoff=_NEAR)), None)


def one_letter_away(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a word of _SHORTEST letters or more is one letter away from, if any."""
    if len(word) < _SHORTEST:
        return None
    near = [one for one in known if abs(len(one) - len(word)) < 2 and is_one_letter_away(word, one)]
    return min(near, key=lambda one: (one[0] != word[0], one), default=None)


def is_one_letter_away(one: str, other: str) -> bool:
    """Whether a letter more, less, another, or two changed round make one word of the other."""
    start = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if start is None:
        return abs(len(one) - len(other)) == 1
    rest, rest_of_other = one[start:], other[start:]
    if rest[1:] == rest_of_other[1:] or rest[1:] == rest_of_other or rest == rest_of_other[1:]:
        return True
    changed_round = rest[1:2] + rest[:1] + rest[2:]
    return changed_round == rest_of_other
