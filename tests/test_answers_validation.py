"""Answers over the real reports: marked questions, and presence over the manually labelled ones."""

import csv
from collections import Counter
from functools import cache

import pytest

from chat.evidence import CaseEvidence
from encoders.abnormalities import ABNORMALITIES
from retrieval.cases import Case
from retrieval.datasets import Tables, open_source
from tests.datasets import cases_of
from tests.report_evidence import Marked, ask, evidence_of, evidence_of_case, keys, read_marked
from tests.shared import shared_file


@cache
def validation() -> dict[str, Case]:
    tables = Tables(
        reports=shared_file("ct_rate/validation_reports.csv"),
        metadata=shared_file("ct_rate/validation_metadata.csv"),
    )
    folder = shared_file("ct_rate/validation_reports.csv").parent
    return {case.study: case for case in cases_of(open_source(str(folder), tables=tables)) if case.reports}


def cases_for(marked: Marked) -> list[CaseEvidence]:
    return [evidence_of_case(validation()[name], rank) for rank, name in enumerate(marked.cases, start=1)]


PARTS = (
    "tuned",
    "held out",
    "held out again",
    "blind",
    "blind again",
    "blind once more",
    "blind at last",
)


@pytest.mark.parametrize("part", PARTS)
def test_citations_meet_the_marks_and_what_cannot_be_answered_is_refused(part: str) -> None:
    validation()
    found: Counter[str] = Counter()
    for marked in read_marked(part):
        said = ask(marked.question, *cases_for(marked))
        cited = keys(said.citations)
        assert said.refused or not marked.refused, marked.question
        found["answerable"] += not marked.refused
        found["silent"] += said.refused and not marked.refused
        assert marked.said in said.text, marked.question
        found["right"] += len(cited & marked.right)
        found["wrong"] += len(cited - marked.right - marked.allowed)
        found["missed"] += len(marked.right - cited)
    assert found["silent"] <= 0.06 * found["answerable"]
    assert found["right"] / (found["right"] + found["wrong"]) >= 0.9
    assert found["right"] / (found["right"] + found["missed"]) >= 0.8


def test_the_question_set_is_large_enough() -> None:
    questions = [marked for part in PARTS for marked in read_marked(part)]
    kinds = Counter(marked.kind for marked in questions)
    assert len(questions) >= 60
    assert kinds["unanswerable"] >= 15
    assert kinds.keys() >= {"presence", "absence", "location", "size", "count", "comparison", "follow-up"}


def agreement(reports: int) -> float:
    """The share of (report, finding) that is answered as it is labelled; the labels are not seen."""
    with shared_file("ct_rate/annotated_reports_800.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))[:reports]
    right = 0
    for row in rows:
        case = evidence_of(row["AccessionNo"], {"findings": row["report_text"]})
        for finding in ABNORMALITIES:
            said = ask(f"Is there {finding.lower()}?", case).text
            right += said.startswith("Yes" if row[finding] == "1" else "No")
    return right / (len(rows) * len(ABNORMALITIES))


def test_presence_agrees_with_the_labels_of_the_first_hundred_reports() -> None:
    assert agreement(100) >= 0.95


@pytest.mark.slow
def test_presence_agrees_with_the_labels_of_the_annotated_reports() -> None:
    assert agreement(800) >= 0.95
