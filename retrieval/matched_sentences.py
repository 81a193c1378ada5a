"""Which sentences of a hit's report say what the question says, by the words they share."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from retrieval.neighbours import among
from retrieval.schema import ReportSentence

_SHOWN = 2  # sentences a hit
_SHARE_OF_BEST = 0.5  # a second sentence is shown if it matches at least half as well as the first
_BY_LOG_LENGTH = 1  # ts_rank's flag: divide by 1 + log(words), or the longest sentence would always win
_SHORTEST_WORD = 3
_LONGEST_WORD = 60
_MOST_WORDS = 300  # of a question; a long report has no more that count
_SAY_NOTHING = frozenset(
    re.findall(
        r"\w+",
        """
        also and any are been both but can for from has have into near not other than that the then there this
        was were when where which with without
        case compatible consistent detected evaluated examined finding found image noted observed patient
        present section seen
        """,
    )
)
"""Words of any report: `simple` tsvectors keep them, and sharing them means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The words of a question that count, and whether it asks for something absent."""

    words: tuple[str, ...] = ()
    negated: bool = False


def wording(sentences: Sequence[tuple[str, bool]]) -> Wording:
    """Take the words of what a text affirms, or of what it denies where it affirms nothing.

    Args:
        sentences: each with whether it is negated.
    """
    affirmed = [text for text, negated in sentences if not negated]
    words = _words(affirmed or [text for text, _ in sentences])
    return Wording(words=words, negated=not affirmed and bool(sentences))


def matched_sentences(
    connection: Connection, report_ids: Iterable[int], wanted: Wording
) -> dict[int, tuple[str, ...]]:
    """Return at most two sentences for each report, best first; reports that share no word are left out.

    A sentence that denies what the question affirms (or the reverse) is shown only where no other matches.
    """
    if not wanted.words:
        return {}
    query = func.to_tsquery("simple", " | ".join(f"{word}:*" for word in wanted.words))
    document = func.to_tsvector("simple", ReportSentence.text)
    rank = func.ts_rank(document, query, _BY_LOG_LENGTH)
    opposite = ReportSentence.negated != wanted.negated
    rows = (
        select(ReportSentence.report_id, ReportSentence.text, opposite.label("opposite"), rank.label("rank"))
        .where(among(ReportSentence.report_id, report_ids), document.op("@@")(query))
        .order_by(
            ReportSentence.report_id, opposite, rank.desc(), ReportSentence.section, ReportSentence.ordinal
        )
    )
    matches: dict[int, list[tuple[str, bool, float]]] = {}
    for report_id, text, against, score in connection.execute(rows):
        matches.setdefault(report_id, []).append((text, against, score))
    return {report_id: _best(found) for report_id, found in matches.items()}


def _best(found: Sequence[tuple[str, bool, float]]) -> tuple[str, ...]:
    _, against, best = found[0]
    texts = (text for text, other, score in found if other == against and score >= best * _SHARE_OF_BEST)
    return tuple(dict.fromkeys(texts))[:_SHOWN]


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    found = re.findall(r"[a-z0-9]+", " ".join(texts).lower())
    singular = (word.removesuffix("s") for word in found if _SHORTEST_WORD <= len(word) <= _LONGEST_WORD)
    return tuple(dict.fromkeys(word for word in singular if word not in _SAY_NOTHING))[:_MOST_WORDS]
