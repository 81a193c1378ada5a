"""The first weights of a projector: fitted to some volumes, so that what tells them apart is not lost in it.

The mean over a scan's tokens is much the same for every scan. With weights drawn at random alone, rows of
different volumes differ by an eighth of their size, and what all have in common grows fastest in training:
the language model, which norms each row, is soon shown as good as the same for every volume. Weights that
centre and scale by data are Krähenbühl et al.'s (arXiv 1511.06856); the layout stays the published one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chat.projector import Projector
from chat.volume_tokens import VolumeTokens
from encoders.errors import InputError
from training.conversations import Conversation

SAMPLE = 64  # volumes
_SMALLEST = 1e-3  # of a standard deviation that is divided by


def tokens_sample(conversations: Sequence[Conversation], tokens: VolumeTokens) -> Tensor | None:
    """Return the tokens of the first volumes that can be read, (K, N, C); None if there is none."""
    found: dict[str, Tensor] = {}
    for file in (file for one in conversations for file in one.files):
        if len(found) == SAMPLE:
            break
        if file.uri not in found:
            try:
                found[file.uri] = tokens.read(file)
            except InputError:  # the training counts it
                continue
    return torch.stack(list(found.values())) if found else None


@torch.no_grad()
def fit_to_volumes(projector: Projector, tokens_KNC: Tensor, *, words_rms: float) -> None:
    """Centre and scale, over some volumes, what a new projector norms, and its rows.

    Args:
        projector: changed in place; before it has learnt anything.
        tokens_KNC: of the volumes.
        words_rms: root mean square of the language model's embeddings of words, which rows get too.
    """
    tokens_KNC = tokens_KNC.to(projector.ln.weight)
    _standardise(projector.attn_pool.ln_k, tokens_KNC)
    _standardise(projector.ln, projector.attn_pool(tokens_KNC))
    last: nn.Linear = projector.proj[-1]  # type: ignore[assignment]
    rows_KQM = projector(tokens_KNC)
    centred_KQM = rows_KQM - rows_KQM.mean((0, 1))
    scale = words_rms / centred_KQM.square().mean().sqrt().clamp_min(_SMALLEST)
    last.bias.copy_((last.bias - rows_KQM.mean((0, 1))) * scale)
    last.weight.mul_(scale)


def _standardise(norm: nn.LayerNorm, rows: Tensor) -> None:
    """Give a norm the gain and offset with which its output over these rows has mean 0 and deviation 1."""
    normed = nn.functional.layer_norm(rows, norm.normalized_shape, eps=norm.eps).flatten(0, -2)
    deviation, mean = torch.std_mean(normed, 0, correction=0)
    deviation = deviation.clamp_min(_SMALLEST)
    norm.weight.copy_(1 / deviation)
    norm.bias.copy_(-mean / deviation)
