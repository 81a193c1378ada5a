"""The contrastive loss of CT-CLIP, with more than one right answer where a batch holds more than one."""

import torch
from torch import Tensor
from torch.nn import functional

from encoders.ct_clip import similarity


def contrastive_loss(
    volume_BL: Tensor, text_BL: Tensor, log_temperature: Tensor, matches_BB: Tensor | None = None
) -> Tensor:
    """Cross-entropy over the batch matrix, mean of both directions.

    Args:
        volume_BL: unit latents of volumes.
        text_BL: unit latents of texts; text i belongs to volume i.
        log_temperature: the cosines are multiplied by its exponential.
        matches_BB: True where text i (row) is as true of volume j (column): a report of the same words, a
            sentence that fits both. Rows share their weight evenly over what matches. None: text i matches
            volume i alone.

    Returns:
        The loss, a scalar.

    Source:
        Radford et al., arXiv 2103.00020, figure 3; several positives as in Khosla et al., arXiv 2004.11362,
        equation 2.
    """
    logits = similarity(text_BL, volume_BL, log_temperature)
    matches = torch.eye(len(logits), dtype=torch.bool) if matches_BB is None else matches_BB
    wanted = matches.to(device=logits.device, dtype=logits.dtype)
    by_text = functional.cross_entropy(logits, wanted / wanted.sum(1, keepdim=True))
    by_volume = functional.cross_entropy(logits.T, wanted.T / wanted.T.sum(1, keepdim=True))
    return (by_text + by_volume) / 2


def prompt_loss(
    volume_BL: Tensor,
    prompt_PL: Tensor,
    log_temperature: Tensor,
    present_BC: Tensor,
    known_BC: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of zero-shot detection: which of two opposite sentences is nearer to the volume.

    Args:
        volume_BL: unit latents of volumes.
        prompt_PL: unit latents of the C affirming sentences, then of the C denying ones.
        log_temperature: as in `contrastive_loss`.
        present_BC: True where the volume has the finding.
        known_BC: False where that is not known, which then counts nowhere; None: all is known.

    Returns:
        The loss, a scalar; 0 where nothing is known.

    Source:
        VocabFine of arXiv 2403.17834, the loss as the paper has it.
    """
    findings = present_BC.shape[1]
    logits = similarity(volume_BL, prompt_PL, log_temperature)
    each_BC = functional.binary_cross_entropy_with_logits(
        logits[:, :findings] - logits[:, findings:], present_BC.to(logits.dtype), reduction="none"
    )
    weight = torch.ones_like(each_BC) if known_BC is None else known_BC.to(each_BC.dtype)
    return (each_BC * weight).sum() / weight.sum().clamp(min=1)
