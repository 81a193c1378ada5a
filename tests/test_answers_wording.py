"""Wordings that are not those of a report: states by their opposite, kinds of a finding, what goes on."""

import pytest

from chat.question import understand
from chat.scope import speaks_of_cases
from tests.report_evidence import ask, evidence_of, keys

CASE = evidence_of(
    "s_3_a",
    {
        "findings": "The neural foramina are open. Bilateral pleural effusion is observed. Paraseptal "
        "emphysema is seen in the upper lobes. Hypodense lesions were observed in the liver. "
        "The largest of the described lesions is metastatic and its longest diameter was 17 mm. "
        "Loss of height is observed in the L1 vertebra. The height loss is around 50%. A "
        "consolidation is seen in the right lower lobe. It appears that the described "
        "appearance has just appeared. No infiltration was detected in the left lung. A mass is "
        "observed in the left adrenal gland. A 3 mm nodule is seen in the left lung. A nodule "
        "of 9 mm is seen in the right lung. Raised suspicion of a specific infection (fungus?).",
        "impression": "Postoperative changes in the aortic valve.",
    },
    patient="p_3",
    day=0,
)
NORMAL = evidence_of("s_4_a", {"impression": "Thoracic CT examination within normal limits."}, rank=2)


@pytest.mark.parametrize(
    ("question", "start", "cited"),
    [
        ("Are the neural foramina narrowed?", "No:", {"f1"}),
        ("Is the pleural effusion loculated?", "That is not in these cases", set()),
        ("Is there hemothorax?", "That is not in these cases", set()),
        ("Is there paraseptal emphysema?", "Yes:", {"f3"}),
        ("How large is the largest liver metastasis?", "As measured:", {"f5"}),
        ("How much height has L1 lost?", "As reported:", {"f7"}),
        ("Where is the new consolidation?", "As reported:", {"f8"}),
        ("Is there infiltration?", "No:", {"f10"}),
        ("Which adrenal gland is abnormal?", "As reported:", {"f11"}),
        ("Where is the largest nodule?", "As reported:", {"f13"}),
        ("Is there a tiny nodule?", "Yes:", {"f12"}),
        ("Is there an adrenal lesion?", "Yes:", {"f11"}),
    ],
)
def test_what_is_asked_in_other_words_is_found(question: str, start: str, cited: set[str]) -> None:
    said = ask(question, CASE)
    assert said.text.startswith(start), said.text
    assert {place for _, place in keys(said.citations)} == cited


@pytest.mark.parametrize(
    "question",
    [
        "Which fungus is it?",  # only suspected
        "Who performed the valve surgery?",
        "When was the valve surgery?",
        "Is there a follow-up MRI?",
        "What does the pathology report say?",
        "How long was the hospital stay?",
        "What day of the week was the scan?",
        "{{7*7}}",
    ],
)
def test_what_a_report_comes_near_to_and_does_not_say_is_refused(question: str) -> None:
    said = ask(question, CASE)
    assert said.refused, said.text
    assert not said.citations


@pytest.mark.parametrize(
    ("limit", "cited"),
    [
        ("larger than 9 mm", set()),
        ("of at least 9 mm", {"f13"}),
        ("of 9 mm or more", {"f13"}),
        ("≥ 0.9 cm", {"f13"}),
        ("of 3 mm or less", {"f12"}),
        ("< 3 mm", set()),
        ("> 5 millimetres", {"f13"}),
    ],
)
def test_a_limit_counts_with_its_own_length_where_it_says_so(limit: str, cited: set[str]) -> None:
    said = ask(f"Is there a nodule {limit}?", CASE)
    assert said.text.startswith("Yes:") == bool(cited)
    assert not cited or {place for _, place in keys(said.citations)} == cited


@pytest.mark.parametrize(
    "question", ["Has the effusion resolved?", "What happened to the effusion?", "Did the effusion change?"]
)
def test_what_is_gone_since_an_earlier_examination_is_a_change(question: str) -> None:
    gone = "The pleural effusion of the previous examination is not detected in the current examination."
    said = ask(question, evidence_of("s_5_a", {"findings": f"{gone} The heart is normal."}))
    assert [quote.text for quote in said.citations] == [gone]


def test_a_size_that_none_reaches_is_not_denied_by_another_sentence() -> None:
    said = ask("Is there a nodule larger than 30 mm?", CASE)
    assert said.text.startswith("Reported, but not where or how it was asked:")


def test_normal_examinations_are_told_by_the_sentence_that_says_so() -> None:
    said = ask("Which of these scans are normal?", CASE, NORMAL)
    assert keys(said.citations) == {("s_4_a", "i1")}


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Did the consolidation regress at follow-up?", "change"),
        ("Did the patient have a follow-up?", "days"),
        ("How soon after the first scan was the second?", "days"),
        ("Smallest nodule in which case?", "largest"),
        ("Is the aorta larger in s_3_a or in s_4_a?", "largest"),
        ("In how many is the heart enlarged?", "count"),
        ("LN short axis?", "size"),
    ],
)
def test_what_is_asked_for_is_read_from_the_wording(question: str, kind: str) -> None:
    assert [part.kind for part in understand(question, names=("s_3_a", "s_4_a"))] == [kind]


@pytest.mark.parametrize(
    ("question", "of_cases"),
    [
        ("Is there a pleural effusion?", False),
        ("How many nodules are there in this scan?", False),
        ("What does this patient's CT show?", False),
        ("How many of these have an effusion?", True),
        ("Which case has the largest nodule?", True),
        ("Did the second patient have emphysema?", True),
        ("What was it in the three most similar cases?", True),
        ("Have we seen this before?", True),
        ("Did the other patient have emphysema?", True),
        ("Are there other findings?", False),
        ("Are there nodules, and where are they?", False),
        ("What are these opacities?", False),
        ("Is there calcium in these nodules?", False),
        ("What was it in these?", True),
        ("Do these have an effusion?", True),
        ("Is the nodule nearest to the fissure calcified?", False),
    ],
)
def test_a_question_beside_a_volume_is_of_that_volume_or_of_the_cases(question: str, of_cases: bool) -> None:
    assert speaks_of_cases(question) is of_cases
