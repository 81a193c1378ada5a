"""A report as yes/no features: words and pairs of words by what is said of them, and the votes of the rules.

Names of features: `+word` and `+word word` (neighbours) are suggested, that is affirmed or left open, `-word`
and `-word word` denied, `word&word` suggested in one sentence, `3:affirmed` (hedged, denied, near) a vote of
the rules on the fourth finding, `3=word word -word` one wording of it that is suggested.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from encoders.label_rules import LabelWording, WordingIndex
from encoders.statements import Statement, statements

Features = npt.NDArray[np.bool_]  # (N, F)

_UNTOLD = frozenset(
    re.findall(
        r"\w+",
        """
        the a an of in on at is are was were and to with which it that by as for be been this both there has
        have
        """,
    )
)
_NEAR = 6  # other words that may stand between those of a wording
_MOST_PAIRED = 40  # words of a sentence: a longer one is a list without full stops


class ReportFeatures:
    """Turns reports into features of a vocabulary."""

    def __init__(self, wordings: Sequence[LabelWording], vocabulary: Sequence[str]) -> None:
        """Take a model's wordings, and its features in the order of their columns."""
        self._index = WordingIndex(wordings)
        self._columns = {name: column for column, name in enumerate(vocabulary)}
        partners: dict[str, set[str]] = {}
        for name in vocabulary:
            first, joint, second = name.partition("&")
            if joint:
                partners.setdefault(first, set()).add(second)
        self._partners: Mapping[str, set[str]] = partners

    def read(self, reports: Sequence[str]) -> Features:
        """Return the features of reports, (N, F)."""
        features_NF = np.zeros((len(reports), len(self._columns)), dtype=np.bool_)
        for row, report in enumerate(reports):
            names = features_of(statements(report), self._index, self._partners)
            columns = [self._columns[name] for name in names if name in self._columns]
            features_NF[row, columns] = True
        return features_NF


def features_of(
    report: Sequence[Statement], index: WordingIndex, partners: Mapping[str, set[str]]
) -> set[str]:
    """Return the names of a report's features.

    Args:
        report: its statements.
        index: of the rules' wordings.
        partners: the words that are paired, each with those that come after it in the alphabet.
    """
    names: set[str] = set()
    for statement in report:
        suggested, denied = _telling(statement.suggested), _telling(statement.denied)
        names.update(_runs("+", suggested))
        names.update(_runs("-", denied))
        names.update(_pairs(suggested, partners))
        names.update(_votes(statement, index))
    return names


def _telling(words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in _UNTOLD and not word[0].isdigit()]


def _runs(sign: str, words: Sequence[str]) -> Iterator[str]:
    for word in words:
        yield sign + word
    for first, second in pairwise(words):
        yield f"{sign}{first} {second}"


def _pairs(words: Sequence[str], partners: Mapping[str, set[str]]) -> Iterator[str]:
    here = set(words)
    if len(here) > _MOST_PAIRED:
        return
    for first in here & partners.keys():
        for second in here & partners[first]:
            yield f"{first}&{second}"


def _votes(statement: Statement, index: WordingIndex) -> Iterator[str]:
    parts = {"affirmed": statement.affirmed, "hedged": statement.hedged, "denied": statement.denied}
    for part, words in parts.items():
        for number in index.found(words):
            wording = index.wordings[number]
            yield f"{wording.finding}:{part}"
            if part == "denied":
                continue
            yield f"{wording.finding}={wording.text}"
            if _stand_near(wording.words, words):
                yield f"{wording.finding}:near"


def _stand_near(wanted: frozenset[str], words: Sequence[str]) -> bool:
    width = len(wanted) + _NEAR
    return any(
        wanted <= set(words[start : start + width]) for start, word in enumerate(words) if word in wanted
    )
