"""Which of the 18 findings words name: in words that mean nothing else, as labels read them, or as a hint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from encoders.abnormalities import ABNORMALITIES
from encoders.label_rules import WordingIndex, label_wordings, stemmed_wording
from encoders.label_wordings import CONVENTIONS
from encoders.statements import statements, stem, stems
from encoders.wordings import EIGHTEEN

_BARRED: Mapping[str, str] = {  # where one of these stands too, the words may mean something else
    "Medical material": "draining compression adrenal",
    "Arterial wall calcification": "coronary lad rca cx circumflex anterior",
    "Cardiomegaly": "mass contour atrium",
    "Lung nodule": "hypodense gland excluded thyroid mediastinum mediastinal mesenteric node omental",
    "Interlobular septal thickening": "intralobular",
    "Pulmonary fibrotic sequela": "fracture postoperative kidney operation humeral rib",
}
_NEAR = 6  # other words that may stand between those of a wording


class Said:
    """Findings that words name: anywhere in a sentence, or with the words of a wording near each other."""

    def __init__(self) -> None:
        self.anywhere: set[str] = set()
        self.near: set[str] = set()

    def add(self, index: WordingIndex, words: Sequence[str]) -> None:
        """Add what the stems of a sentence name."""
        for number in index.found(words):
            wording = index.wordings[number]
            self.anywhere.add(ABNORMALITIES[wording.finding])
            if stand_near(wording.words, words):
                self.near.add(ABNORMALITIES[wording.finding])


@dataclass(frozen=True, slots=True)
class FindingsSaid:
    """Which of the 18 a text names, by what it says of them."""

    affirmed: frozenset[str]
    suggested: frozenset[str]  # affirmed or thought possible
    denied: frozenset[str]


def said_of_findings(text: str) -> FindingsSaid:
    """Return which findings a running text affirms, thinks possible and denies, as labels read it."""
    affirmed, hedged, denied = Said(), Said(), Said()
    for statement in statements(text):
        affirmed.add(narrow(), statement.affirmed)
        hedged.add(as_labelled(), statement.suggested)
        denied.add(narrow(), statement.denied)
    return FindingsSaid(frozenset(affirmed.anywhere), frozenset(hedged.anywhere), frozenset(denied.anywhere))


def stemmed(plain: str) -> tuple[str, ...]:
    """Return the stems of words that are plain already, as `Sentence.said` has them."""
    return tuple(map(stem, plain.split()))


def stand_near(wanted: frozenset[str], words: Sequence[str]) -> bool:
    """Whether stems stand together in a sentence, with few others between them."""
    width = len(wanted) + _NEAR
    return any(
        wanted <= set(words[start : start + width]) for start, word in enumerate(words) if word in wanted
    )


@lru_cache(maxsize=1)
def narrow() -> WordingIndex:
    """Wordings that mean the finding: those of labels, but for what CT-RATE's annotators count besides."""
    besides = {
        (place, stemmed_wording(place, text).words)
        for place, name in enumerate(ABNORMALITIES)
        if name in CONVENTIONS
        for text in CONVENTIONS[name].counted
    }
    return WordingIndex(
        [
            replace(one, barred=one.barred | set(stems(_BARRED.get(ABNORMALITIES[one.finding], ""))))
            for one in label_wordings()
            if (one.finding, one.words) not in besides
        ]
    )


@lru_cache(maxsize=1)
def as_labelled() -> WordingIndex:
    """Wordings that count for a label."""
    return WordingIndex(label_wordings())


@lru_cache(maxsize=1)
def wide() -> WordingIndex:
    """Wordings that hint at the finding, of whatever kind."""
    by_name = {finding.name: finding for finding in EIGHTEEN}
    hints = [
        stemmed_wording(place, text)
        for place, name in enumerate(ABNORMALITIES)
        for text in by_name[name].every_wording
        if text not in by_name[name].ruled_out_by
    ]
    return WordingIndex(tuple(dict.fromkeys([*label_wordings(), *hints])))
