"""Evidence straight from tables of reports, for tests of answers: no archive, the same sentences."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chat.answer import Answer, answer
from chat.backends import Asked
from chat.evidence import CaseEvidence, Evidence, Quote
from chat.extractive import Extractive
from encoders.sentences import SEARCHED_SECTIONS, split_text
from retrieval.cases import Case


def evidence_of(name: str, sections: Mapping[str, str], *, rank: int = 1, **fields) -> CaseEvidence:
    """A case with a report, its sentences numbered as the archive numbers them."""
    quotes = tuple(
        Quote(name, section, place, text)
        for section in SEARCHED_SECTIONS
        for place, text in enumerate(split_text(sections.get(section, "")), start=1)
    )
    return CaseEvidence(study=name, rank=rank, sentences=quotes, **{"patient": f"P {name}", **fields})


def evidence_of_case(case: Case, rank: int) -> CaseEvidence:
    """A case of a dataset."""
    report = case.reports[0]
    sections = {"findings": report.findings, "impression": report.impression}
    return evidence_of(case.study, sections, rank=rank, patient=case.patient, day=case.day)


def ask(question: str, *cases: CaseEvidence, **fields) -> Answer:
    """Answer a question from cases with the built-in backend."""
    evidence = Evidence(cases=cases, has_volume=fields.pop("has_volume", False))
    return answer(Asked(question=question, evidence=evidence, **fields), Extractive())


def keys(quotes: Iterable[Quote]) -> set[tuple[str, str]]:
    """(study, "f3") of each sentence."""
    return {(quote.study, f"{quote.section[0]}{quote.sentence}") for quote in quotes}


FIRST = evidence_of(
    "s_1_a",
    {
        "findings": "Heart contour and size are normal. Minimal pleural effusion is observed on the right. "
        "No pleural effusion was detected on the left. A 12 mm nodule is seen in the upper lobe of the left "
        "lung. It measured 9 mm in the previous examination. No pneumothorax was detected.",
        "impression": "Right pleural effusion. Nodule in the left lung.",
    },
    patient="p_1",
    day=0,
    sex="F",
    age=61,
)
LATER = evidence_of(
    "s_1_b",
    {
        "findings": "The pleural effusion has resolved. The nodule in the left upper lobe is 15 mm.",
        "impression": "Enlarged nodule. Metastasis cannot be excluded.",
    },
    rank=2,
    patient="p_1",
    day=96,
)
OTHER = evidence_of(
    "s_2_a",
    {"findings": "Emphysema in both lungs. Nodules are not seen.", "impression": "Emphysema."},
    rank=3,
    patient="p_2",
    sex="M",
    age=70,
)


@dataclass(frozen=True)
class Marked:
    """A question, and what answers it."""

    kind: str
    cases: tuple[str, ...]
    question: str
    right: frozenset[tuple[str, str]]
    allowed: frozenset[tuple[str, str]]
    refused: bool
    said: str


def read_marked(part: str) -> list[Marked]:
    """Read the questions of `answer_questions.txt` under one of its headings."""
    text = (Path(__file__).parent / "answer_questions.txt").read_text(encoding="utf-8")
    section = text.split(f"## {part}\n")[1].split("\n##")[0]
    return [_marked(line) for line in section.strip().splitlines()]


def _marked(line: str) -> Marked:
    kind, cases, question, *rest = [part.strip() for part in line.split("|")]
    right, allowed, said = set(), set(), ""
    for part in rest:
        if part.startswith("say "):
            said = part.removeprefix("say ")
        elif part != "refuse":
            for marks in part.split(";"):
                study, *places = marks.split()
                may = places.index("?") if "?" in places else len(places)
                right |= {(study, place) for place in places[:may]}
                allowed |= {(study, place) for place in places[may + 1 :]}
    return Marked(
        kind,
        tuple(re.findall(r"\S+", cases)),
        question,
        frozenset(right),
        frozenset(allowed),
        "refuse" in rest,
        said,
    )
