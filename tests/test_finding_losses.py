"""The losses of VocabFine, ClassFine and CT-Net, worked by hand."""

import math

import pytest
import torch
from torch.nn import functional

from training.finding_losses import positive_weights, vocabfine_terms, weighted_terms

LN2 = math.log(2)
YES, NO = torch.tensor([[True]]), torch.tensor([[False]])


def test_bce_wants_the_affirming_sentence_of_what_is_present_and_the_denying_one_of_what_is_not() -> None:
    """Logits log 3 and -log 3 have probabilities 3/4 and 1/4."""
    logits = torch.tensor([[math.log(3), -math.log(3)]])
    right, sentences = vocabfine_terms(logits, YES, YES, "bce")
    wrong, _ = vocabfine_terms(logits, NO, YES, "bce")
    assert right.item() == pytest.approx(-2 * math.log(3 / 4))
    assert wrong.item() == pytest.approx(-2 * math.log(1 / 4))
    assert sentences.item() == 2
    assert vocabfine_terms(torch.zeros(1, 2), YES, YES)[0].item() == pytest.approx(2 * LN2)


def test_mse_squares_the_error_of_the_softmax_over_the_pair() -> None:
    """exp(log 3) / (exp(log 3) + exp(0)) = 3/4: one lacks a quarter, the other has a quarter too much."""
    logits = torch.tensor([[math.log(3), 0.0]])
    assert vocabfine_terms(logits, YES, YES, "mse")[0].item() == pytest.approx(2 / 16)
    assert vocabfine_terms(logits, NO, YES, "mse")[0].item() == pytest.approx(2 * 9 / 16)
    shifted = vocabfine_terms(logits + 5, YES, YES, "mse")[0].item()
    assert shifted == pytest.approx(2 / 16)  # a softmax sees differences alone


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_of_36_logits_the_18_affirming_come_first_and_unknown_findings_count_nowhere(kind) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 36, generator=draw)
    present = torch.rand(3, 18, generator=draw) < 0.5
    known = torch.rand(3, 18, generator=draw) < 0.7
    total, sentences = vocabfine_terms(logits, present, known, kind)
    one_by_one = sum(
        vocabfine_terms(logits[b : b + 1, [c, 18 + c]], present[b, c].view(1, 1), YES, kind)[0]
        for b in range(3)
        for c in range(18)
        if known[b, c]
    )
    torch.testing.assert_close(total, one_by_one)
    assert sentences == 2 * known.sum()


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_three_chunks_of_12_logits_add_up_to_the_whole(kind) -> None:
    draw = torch.Generator().manual_seed(1)
    logits, known = torch.randn(2, 36, generator=draw), torch.ones(2, 18, dtype=torch.bool)
    present = torch.rand(2, 18, generator=draw) < 0.5
    whole, _ = vocabfine_terms(logits, present, known, kind)
    parts = []
    for first in (0, 6, 12):  # six findings, so twelve sentences
        c = torch.arange(first, first + 6)
        parts.append(vocabfine_terms(logits[:, torch.cat([c, 18 + c])], present[:, c], known[:, c], kind)[0])
    torch.testing.assert_close(sum(parts), whole)


def test_a_present_finding_weighs_as_often_more_as_it_is_rarer() -> None:
    present = torch.tensor([[True, True], [False, True], [False, True], [False, False]])
    known = torch.tensor([[True, True], [True, True], [True, True], [True, False]])
    assert positive_weights(present, known).tolist() == [3.0, 1.0]  # 3 absent to 1; always present
    loss, counted = weighted_terms(torch.zeros(4, 2), present, known, torch.tensor([3.0, 1.0]))
    assert loss.item() == pytest.approx(
        LN2 * (3 + 3 * 1 + 3 * 1)
    )  # a present one thrice, three absent; three of the other
    assert counted.item() == 7


def test_without_weights_and_gaps_it_is_torchs_own_cross_entropy() -> None:
    draw = torch.Generator().manual_seed(2)
    logits, present = torch.randn(5, 18, generator=draw), torch.rand(5, 18, generator=draw) < 0.3
    summed, counted = weighted_terms(logits, present, torch.ones_like(present), torch.ones(18))
    expected = functional.binary_cross_entropy_with_logits(logits, present.float())
    torch.testing.assert_close(summed / counted, expected)
