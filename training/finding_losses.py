"""Losses of supervised detection: of VocabFine's 36 logits, and of heads with a logit a finding.

Each comes as a sum and what it is to be divided by, so that a batch may be divided among chunks and
processes: the loss is the quotient of the two sums.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

VocabFineLoss = Literal["bce", "mse"]


def vocabfine_terms(
    logits_BP: Tensor, present_BC: Tensor, known_BC: Tensor, kind: VocabFineLoss = "bce"
) -> tuple[Tensor, Tensor]:
    """Return the summed loss of both sentences of every known finding, and how many sentences those are.

    Args:
        logits_BP: similarities with the C affirming sentences, then with the C denying ones.
        present_BC: whether a finding is present.
        known_BC: False where that is not known: its sentences count nowhere.
        kind: "bce", binary cross-entropy of every logit by itself: the affirming one wants 1 where the
            finding is present, the denying one where it is not. "mse", squared error of the softmax over a
            pair.

    Source:
        VocabFine of arXiv 2403.17834: "bce" is the paper's, "mse" the published script's.
    """
    wanted_BP = torch.cat([present_BC, ~present_BC], dim=1).to(logits_BP.dtype)
    if kind == "bce":
        loss_BP = functional.binary_cross_entropy_with_logits(logits_BP, wanted_BP, reduction="none")
    else:
        affirming, denying = logits_BP.chunk(2, dim=1)
        shown = (affirming - denying).sigmoid()  # the softmax over a pair
        loss_BP = (torch.cat([shown, 1 - shown], dim=1) - wanted_BP).square()
    counted_BP = torch.cat([known_BC, known_BC], dim=1)
    return (loss_BP * counted_BP).sum(), counted_BP.sum()


def weighted_terms(
    logits_BC: Tensor, present_BC: Tensor, known_BC: Tensor, positive_weight_C: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the summed binary cross-entropy of the known findings, and how many they are.

    Args:
        logits_BC: a logit a finding.
        present_BC: as for `vocabfine_terms`.
        known_BC: likewise.
        positive_weight_C: how much more a present finding weighs than an absent one.

    Source:
        ClassFine of arXiv 2403.17834.
    """
    loss_BC = functional.binary_cross_entropy_with_logits(
        logits_BC, present_BC.to(logits_BC.dtype), pos_weight=positive_weight_C, reduction="none"
    )
    return (loss_BC * known_BC).sum(), known_BC.sum()


def positive_weights(present_NC: Tensor, known_NC: Tensor) -> Tensor:
    """Return absent over present cases of each finding, float32 (C,): both kinds then weigh the same.

    1 for a finding of which only one kind is known.
    """
    present = (present_NC & known_NC).sum(dim=0).float()
    absent = known_NC.sum(dim=0).float() - present
    both = (present > 0) & (absent > 0)
    return torch.where(both, absent / present.clamp(min=1), torch.ones_like(present))
