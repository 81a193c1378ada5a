"""Stems of plain words, by PostgreSQL, and families of stems that say one thing."""

from collections.abc import Iterable, Mapping
from functools import cache

from sqlalchemy import text as sql
from sqlalchemy.engine import Connection

from encoders.other_wordings import OTHERS
from encoders.plain_words import plain_words
from encoders.word_families import FAMILIES
from encoders.wordings import EIGHTEEN

_STEMS: dict[str, str] = {}
_FAMILIES: dict[str, tuple[str, ...]] = {}  # by each of its stems


@cache
def vocabulary() -> frozenset[str]:
    """Return every plain word of the wordings and of the families."""
    texts = [wording.replace(" -", " ") for one in (*EIGHTEEN, *OTHERS) for wording in one.every_wording]
    texts += [word for family in FAMILIES for word in family]
    return frozenset(word for text in texts for word in plain_words(text))


def stems(connection: Connection, words: Iterable[str]) -> Mapping[str, str]:
    """Return PostgreSQL's stem of each plain word; those of the vocabulary are asked for once."""
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
        _STEMS.update({word: stem_of[word] for word in vocabulary().intersection(unknown)})
    return stem_of


def families(connection: Connection) -> Mapping[str, tuple[str, ...]]:
    """Return, by stem, the stems that say the same; the first of them stands for all."""
    if not _FAMILIES:
        stem_of = stems(connection, vocabulary())
        together: dict[str, tuple[str, ...]] = {}
        for family in FAMILIES:
            members = dict.fromkeys(stem_of[word] for one in family for word in plain_words(one))
            together.update(dict.fromkeys(members, tuple(members)))
        _FAMILIES.update(together)  # at once: other threads may ask meanwhile
    return _FAMILIES


def quoted(stem: str, weight: str = "") -> str:
    """Return a stem as a tsquery writes it."""
    escaped = stem.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'{':' + weight if weight else ''}"
