"""What a model drafts is shown only where a stored sentence says so."""

from dataclasses import replace

import pytest
import torch

from chat.answer import FROM_VOLUME, FROM_VOLUME_NOTE, Answer, answer
from chat.backends import Asked
from chat.draft import NOT_IN_CASES
from chat.evidence import Evidence
from tests.report_evidence import FIRST, LATER, OTHER, keys


class Drafting:
    """A backend that drafts what it is told to."""

    name = "drafting"

    def __init__(self, draft: str, *, takes_volumes: bool = False) -> None:
        self._draft = draft
        self.takes_volumes = takes_volumes

    def stream(self, asked: Asked):
        yield from (self._draft[place : place + 7] for place in range(0, len(self._draft), 7))


def drafted(draft: str, question: str = "Describe the effusion in s_1_a.") -> Answer:
    evidence = Evidence(cases=(FIRST, LATER, OTHER), has_volume=False)
    return answer(Asked(question=question, evidence=evidence), Drafting(draft))


HOLDS = "There is a minimal pleural effusion on the right [s_1_a findings 2]."


@pytest.mark.parametrize(
    "claim",
    [
        "There is a large mass in the liver.",  # cites nothing
        "There is a mass in the liver [s_1_a findings 2].",  # the sentence does not say so
        "There is a pleural effusion on the left [s_1_a findings 2].",  # nor this
        "There is no pleural effusion [s_1_a findings 2].",  # it says the contrary
        "The nodule measures 21 mm [s_1_a findings 4].",  # another number
        "There is a pleural effusion [s_1_a findings 40].",  # no such sentence
        "There is a pleural effusion [s_7_x findings 2].",  # no such case
        "It says “Large pleural effusion.” [s_1_a findings 2].",  # not what stands there
    ],
)
def test_a_drafted_sentence_that_nothing_stored_supports_is_dropped(claim: str) -> None:
    said = drafted(f"{HOLDS} {claim}")
    assert said.text == HOLDS
    assert said.dropped == 1
    assert keys(said.citations) == {("s_1_a", "f2")}
    assert drafted(claim).refused


def test_what_a_model_reads_from_a_volume_is_marked_and_what_it_claims_of_reports_is_checked() -> None:
    draft = f"There is a mass. {HOLDS} There is a nodule [s_7_x findings 1]."
    evidence = Evidence(cases=(FIRST,), has_volume=True)
    asked = Asked(
        question="What does this volume show?", evidence=evidence, volume_tokens=(torch.zeros(2, 4),)
    )
    said = answer(asked, Drafting(draft, takes_volumes=True))
    assert said.text == f"There is a mass. {FROM_VOLUME} {HOLDS} {FROM_VOLUME_NOTE}"
    assert (said.dropped, said.refused) == (1, False)
    blind = answer(replace(asked, volume_tokens=()), Drafting("There is a mass.", takes_volumes=True))
    assert blind.refused


def test_counts_are_never_left_to_a_backend() -> None:
    said = drafted(
        "Nine of three cases have a nodule [s_1_a findings 4].", "How many of these have a nodule?"
    )
    assert said.text.startswith("2 of 3 cases")


def test_a_backend_may_refuse_in_its_own_words() -> None:
    assert drafted(f"{NOT_IN_CASES}: nobody measured it.").refused
