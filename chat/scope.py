"""Which of the cases a question speaks of: by name, by place in the list, or all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chat.evidence import CaseEvidence
from chat.question import LOOKS_LIKE_A_NAME
from retrieval.query_words import FUNCTION

_COUNTED = (
    "one first 1st;two second 2nd;three third 3rd;four fourth 4th;five fifth 5th;six sixth 6th"
    ";seven seventh 7th;eight eighth 8th;nine ninth 9th;ten tenth 10th"
)
_NUMBERS = {
    name: number for number, names in enumerate(_COUNTED.split(";"), start=1) for name in names.split()
}
_NUMBER = rf"\d{{1,3}}|{'|'.join(name for name in _NUMBERS if not name[0].isdigit())}"
_NOUN = r"(?:cases?|patients?|hits?|stud(?:y|ies)|ones?|results?|reports?|scans?)"
_FIRST_FEW = re.compile(
    rf"\b(?:(?:the )?(?:top|first|nearest|closest) ({_NUMBER})\b|(?:the )?({_NUMBER}) (?:most |nearest "
    rf"|closest |top |best )+(?:\w+ )?{_NOUN}\b)",
    re.IGNORECASE,
)
_ONE = re.compile(
    r"\b(?:(?:case|hit|result|patient) (?:number |no\.? |#)?(\d{1,3})\b|(?:the )?(\d{1,2}(?:st|nd|rd|th)"
    r"|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last) (?:case|patient|hit|one"
    r"|result)\b)",
    re.IGNORECASE,
)
LIKE_IT = r"similar|alike|neighbou?rs?|retrieved|seen (?:this|it) before|cases? like (?:this|it)"
"""How a question asks for cases like one, and for nothing else; part of a regular expression."""

_THESE = r"(?:these|those)"
_OF_CASES = re.compile(
    r"\b(?:(?:which|any|each|every|nearest|closest|other) (?:case|patient|hit|study)|cases|patients|studies"
    rf"|hits?|results|reports|archive|others|{LIKE_IT})\b"
    # alone they are cases; before a noun they are of that: "in these nodules"
    rf"|\b(?:of|in|among|for) (?:{_THESE}|them)\b(?! \w+s\b)"
    rf"|\b{_THESE} (?:ha[vd]e?|show|are|were|did|do)\b|\bdo {_THESE} have\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The cases that are meant, and names that none of them has."""

    cases: tuple[CaseEvidence, ...]
    unknown: tuple[str, ...] = ()
    narrowed: bool = False  # to some of them
    named: bool = False  # by their names


def asked_cases(text: str, cases: Sequence[CaseEvidence], *, by_place: bool = True) -> Scope:
    """Return the cases that a question names or counts off; all, where it does neither.

    Args:
        text: one part of a question.
        cases: in their order.
        by_place: whether "the first case" counts; of days between the first scan and the last it does not.
    """
    by_name = _by_name(cases)
    named: list[CaseEvidence] = []
    rest = text
    for name in sorted(by_name, key=len, reverse=True):
        pattern = re.compile(rf"(?<![\w.-]){re.escape(name)}(?:'s|’s)?(?![\w-])", re.IGNORECASE)
        if pattern.search(rest):
            named += [case for case in by_name[name] if case not in named]
            rest = pattern.sub(" ", rest)
    unknown = tuple(dict.fromkeys(LOOKS_LIKE_A_NAME.findall(rest)))
    if named or unknown:
        order = [case for case in cases if case in named]
        return Scope(cases=tuple(order), unknown=unknown, narrowed=True, named=True)
    return _counted_off(text, cases) if by_place else Scope(cases=tuple(cases))


def speaks_of_cases(text: str) -> bool:
    """Whether a question beside a volume is about the cases found, not about that volume alone."""
    return any(pattern.search(text) for pattern in (_OF_CASES, _FIRST_FEW, _ONE))


def _counted_off(text: str, cases: Sequence[CaseEvidence]) -> Scope:
    found = [case for case in cases if case.rank > 0]
    if match := _FIRST_FEW.search(text):
        number = _number(match[1] or match[2])
        return Scope(cases=tuple(found[:number]), narrowed=True)
    ranks = [_number(match[1] or match[2]) for match in _ONE.finditer(text)]
    if not ranks:
        return Scope(cases=tuple(cases))
    last = max((case.rank for case in found), default=0)
    wanted = {last if rank < 0 else rank for rank in ranks}
    missing = tuple(f"case {rank}" for rank in sorted(wanted) if not 1 <= rank <= last)
    chosen = tuple(case for case in found if case.rank in wanted)
    return Scope(cases=chosen, unknown=missing, narrowed=True)


def _number(word: str) -> int:
    """Return what a word counts; -1 is the last."""
    lowered = word.lower()
    if lowered == "last":
        return -1
    return _NUMBERS.get(lowered) or int(re.sub(r"\D", "", lowered))


def _by_name(cases: Sequence[CaseEvidence]) -> dict[str, list[CaseEvidence]]:
    names: dict[str, list[CaseEvidence]] = {}
    for case in cases:
        for name in dict.fromkeys((case.study, *_bare_names(case), *case.volumes)):
            if name.lower() not in FUNCTION:  # a patient called "a" is not meant by "a nodule"
                names.setdefault(name, []).append(case)
    return names


def _bare_names(case: CaseEvidence) -> tuple[str, ...]:
    """Return what study and patient are called within their dataset; as whole names they may be shared."""
    prefix = f"{case.dataset}/"
    return (case.study.removeprefix(prefix), case.patient, case.patient.removeprefix(prefix))


def names_of(cases: Sequence[CaseEvidence]) -> tuple[str, ...]:
    """Return every name that cases go by."""
    return tuple(_by_name(cases))


def with_their_patients(some: Sequence[CaseEvidence], cases: Sequence[CaseEvidence]) -> list[CaseEvidence]:
    """Return the cases of the patients of some: their other studies are where a follow-up is told."""
    patients = {case.patient for case in some}
    return [case for case in cases if case.patient in patients]
