"""Labels by rules: a finding is present where a sentence affirms one of its wordings, or leaves it open."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from encoders.abnormalities import ABNORMALITIES
from encoders.label_wordings import CONVENTIONS, Convention
from encoders.statements import Statement, statements, stems
from encoders.wordings import EIGHTEEN, Finding

RULES = "rules"


@dataclass(frozen=True, slots=True)
class LabelWording:
    """Stems that stand together in what a sentence says, and stems that must not stand there."""

    finding: int  # its place among ABNORMALITIES
    words: frozenset[str]
    barred: frozenset[str]

    @property
    def text(self) -> str:
        """The wording as `parse` reads it."""
        return " ".join([*sorted(self.words), *(f"-{word}" for word in sorted(self.barred))])

    @classmethod
    def parse(cls, finding: int, text: str) -> "LabelWording":
        """Read words that are stems already, those that are barred with "-" before them."""
        words = text.split()
        return cls(
            finding,
            frozenset(word for word in words if word[0] != "-"),
            frozenset(word[1:] for word in words if word[0] == "-"),
        )


def label_wordings() -> tuple[LabelWording, ...]:
    """Return the wordings that count for a label: those of the finding, but for the conventions."""
    by_name = {finding.name: finding for finding in EIGHTEEN}
    return tuple(
        dict.fromkeys(
            wording
            for place, name in enumerate(ABNORMALITIES)
            for wording in _counted(place, by_name[name], CONVENTIONS.get(name, Convention()))
        )
    )


def _counted(place: int, finding: Finding, convention: Convention) -> Iterator[LabelWording]:
    left_out = {stemmed_wording(place, text).words for text in convention.not_counted}
    for text in (*finding.said_as, *finding.kinds):
        wording = stemmed_wording(place, text)
        if wording.words not in left_out:
            yield wording
    for text in convention.counted:
        yield stemmed_wording(place, text)


def stemmed_wording(place: int, text: str) -> LabelWording:
    """Return a wording as `encoders.wordings` writes it, of the finding with this number, as stems."""
    pieces = text.split()
    words = stems(" ".join(piece for piece in pieces if piece[0] != "-"))
    barred = stems(" ".join(piece[1:] for piece in pieces if piece[0] == "-"))
    return LabelWording(place, frozenset(words), frozenset(barred))


class WordingIndex:
    """Finds which wordings stand in a set of stems, looking at those only whose rarest word is there."""

    def __init__(self, wordings: Sequence[LabelWording]) -> None:
        self.wordings = tuple(wordings)
        uses: dict[str, int] = {}
        for wording in wordings:
            for word in wording.words:
                uses[word] = uses.get(word, 0) + 1
        self._by_word: dict[str, list[int]] = {}
        for number, wording in enumerate(wordings):
            rarest = min(sorted(wording.words), key=uses.__getitem__)
            self._by_word.setdefault(rarest, []).append(number)

    def found(self, words: Iterable[str]) -> Iterator[int]:
        """Yield the numbers of the wordings that the stems of one sentence hold."""
        here = frozenset(words)
        for word in here & self._by_word.keys():
            for number in self._by_word[word]:
                wording = self.wordings[number]
                if wording.words <= here and not wording.barred & here:
                    yield number


class RuleLabels:
    """The extractor that needs no training."""

    name = RULES

    def __init__(self) -> None:
        self._index = WordingIndex(label_wordings())

    def label_reports(self, reports: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which of the 18 each report affirms or leaves open, (N, 18)."""
        labels = np.zeros((len(reports), len(ABNORMALITIES)), dtype=np.bool_)
        for row, report in enumerate(reports):
            for statement in statements(report):
                for number in self._found(statement):
                    labels[row, self._index.wordings[number].finding] = True
        return labels

    def _found(self, statement: Statement) -> Iterator[int]:
        yield from self._index.found(statement.affirmed)
        yield from self._index.found(statement.hedged)
