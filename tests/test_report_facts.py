"""What a report says for certain: presence, places and lobes, disorders."""

import csv
from collections import Counter

import pytest

from chat.locations import LOBES, lobes, places
from chat.report_facts import read_facts
from encoders.abnormalities import ABNORMALITIES
from retrieval.cases import Report
from retrieval.datasets import open_source
from tests.shared import shared_file

RU, RM, RL, LU, LL = LOBES


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("right lung upper and lower lobes", {RU, RL}),
        ("the upper lobe and lower lobe of the right lung", {RU, RL}),
        ("both lower lobes", {RL, LL}),
        ("upper lobes of both lungs", {RU, LU}),
        ("right lung upper lobe and lower lobe of the left lung", {RU, LL}),
        ("left lung inferior lingular segment", {LU}),
        ("middle lobe of the right lung", {RM}),
        ("middle lobe", {RM}),  # there is one
        ("superior segment of the right lower lobe", {RL}),
        ("upper and middle lobes of the right lung and both lower lobes", {RU, RM, RL, LL}),
        ("right middle lobe, left lung upper lobe lingula", {RM, LU}),
        ("left lung apicoposterior segment and lower lobe", None),  # the first names no lobe
        ("lower lobe", None),
        ("both lungs", None),
        ("right lung and left lower lobe", None),  # the first is more than lobes
        ("left middle lobe", None),
        ("right lung upper zone", None),
        ("right lingula", None),
    ],
)
def test_lobes_are_those_that_the_words_name_or_none(place: str, expected: set[str] | None) -> None:
    assert lobes(place) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A nodule is seen in the lateral segment of the right lung middle lobe.",
         ["lateral segment of the right lung middle lobe"]),
        ("In the left lung upper lobe, and in the right lower lobe, emphysema.",
         ["left lung upper lobe, and in the right lower lobe"]),
        ("A nodule adjacent to the fissure of the left lung.", []),
        ("There is a cyst in the right kidney.", []),
        ("The right atrium is dilated.", []),
    ],
)  # fmt: skip
def test_places_are_words_of_lungs_as_written(sentence: str, expected: list[str]) -> None:
    assert [place.text for place in places(sentence)] == expected


def facts_of(findings: str, impression: str = "", **known: bool):
    return read_facts(Report(name="a", findings=findings, impression=impression), known)


@pytest.mark.parametrize(
    ("findings", "finding", "answer"),
    [
        ("There is consolidation.", "Consolidation", True),
        ("No consolidation was seen.", "Consolidation", False),
        ("The spleen is normal.", "Consolidation", False),
        ("Consolidation cannot be excluded.", "Consolidation", None),
        ("There is consolidation. No consolidation was seen.", "Consolidation", None),
        ("An increase in density is seen in the right lung.", "Lung opacity", None),  # may be anything
        ("A few lymph nodes of normal size are seen.", "Lymphadenopathy", None),  # CT-RATE would tick it
        ("Thickening of the bronchial walls.", "Peribronchial thickening", None),  # CT-RATE would not
        ("Plaques are seen in the coronary arteries.", "Arterial wall calcification", False),
        ("A hypodense nodule of the thyroid is seen.", "Lung nodule", False),
    ],
)
def test_between_present_and_absent_lies_what_nobody_is_asked(
    findings: str, finding: str, answer: bool | None
) -> None:
    facts = facts_of(findings)
    assert (finding in facts.present, finding in facts.absent) == (answer is True, answer is False)


def test_what_the_label_table_contradicts_is_neither_present_nor_absent() -> None:
    facts = facts_of("There is consolidation.", Consolidation=False, Cardiomegaly=True)
    assert "Consolidation" not in (*facts.present, *facts.absent)
    assert "Cardiomegaly" not in (*facts.present, *facts.absent)


def test_nothing_is_certain_of_a_report_without_text() -> None:
    assert facts_of("").absent == ()


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A nodule is seen in the right lower lobe.", [("Lung nodule", "right lower lobe")]),
        ("Emphysema, and a nodule in the right lower lobe.", [("Lung nodule", "right lower lobe")]),
        ("In both lungs, nodules are seen.", [("Lung nodule", "both lungs")]),
        ("Nodules, the largest in the right lower lobe, are seen.", []),
        ("Nodules are seen in the right lower lobe and the left upper lobe is clear.", []),
        ("There may be a nodule in the right lower lobe.", []),
        ("Bilateral effusion and a nodule in the right lower lobe.", []),
        ("A nodule in the right lower lobe was not seen.", []),
    ],
)
def test_a_finding_is_placed_where_its_sentence_leaves_no_doubt(
    sentence: str, expected: list[tuple[str, str]]
) -> None:
    assert [(one.finding, one.place) for one in facts_of(sentence).located] == expected


def test_a_finding_with_a_place_that_was_not_read_is_unplaced() -> None:
    facts = facts_of("A nodule is seen in the right lower lobe. Nodules near the left lower lobe.")
    assert facts.unplaced == {"Lung nodule"}


def test_disorders_are_those_of_the_impression_and_the_narrower_outdoes_the_wider() -> None:
    facts = facts_of(
        "Sarcoidosis is known.",
        "Findings consistent with Covid-19 viral pneumonia. Tuberculosis? No pulmonary embolism. "
        "The appearance can be seen in bronchiolitis.",
    )
    assert facts.disorders == ("COVID-19 pneumonia",)
    assert facts.possible_disorders == ("tuberculosis", "bronchiolitis")


def test_what_phantoms_were_drawn_with_agrees_with_what_their_reports_say_for_certain() -> None:
    checked = 0
    for case in open_source("120:7", format="phantom"):
        facts = read_facts(case.reports[0])
        wrong = [name for name in facts.present if not case.labels[name]]
        wrong += [name for name in facts.absent if case.labels[name]]
        assert not wrong, case.study
        checked += len(facts.present) + len(facts.absent)
    assert checked > 0.8 * 120 * len(ABNORMALITIES)


def test_presence_agrees_with_800_manually_labelled_reports() -> None:
    """Much of what is left is the annotation's own: docs/chat-data.md."""
    agreed: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    with shared_file("ct_rate/annotated_reports_800.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            facts = facts_of(row["report_text"])
            for answer, names in (("1", facts.present), ("0", facts.absent)):
                for name in names:
                    asked[name] += 1
                    agreed[name] += row[name] == answer
    shares = {name: agreed[name] / asked[name] for name in ABNORMALITIES}
    assert min(shares.values()) > 0.95, shares
    assert sum(agreed.values()) / sum(asked.values()) > 0.98
