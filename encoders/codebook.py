"""The codebook: a token becomes its nearest row by cosine, and in training the rows follow their tokens."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

EMA_DECAY = 0.8
TOKENS_AT_ONCE = 2048  # of the similarity matrix, whose rows are as long as the codebook


class CodebookTotals(NamedTuple):
    """What tokens say of their rows; totals of several passes and processes are added up.

    Attributes:
        sums: normalised tokens summed per row, float32 (size, width).
        counts: their number per row, float32 (size,).
    """

    sums: Tensor
    counts: Tensor


class Codebook(nn.Module):
    """Vector quantisation by cosine similarity (arXiv 2110.04627), without a gradient for its rows.

    A forward pass never moves the rows, in training neither: a pass may be run twice for one step
    (gradient caching, recomputed activations) or on one of several processes. Whoever trains adds up
    the `totals` of the passes that count and calls `move_rows` once a step.

    Attributes:
        rows: (size, width), as stored: not necessarily of unit length.
        counts: (size,), how many tokens each row was given lately, decayed.
    """

    rows: Tensor
    counts: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", functional.normalize(torch.randn(size, width), dim=-1))
        self.register_buffer("counts", torch.zeros(size))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Replace tokens (..., C) by their nearest rows as stored; the rows themselves are left alone.

        Returns:
            The rows, (..., C), through which gradients pass straight to `tokens`, and their ids, int64 (...).
        """
        with torch.autocast(tokens.device.type, enabled=False):  # which row is nearest is told in float32
            ids = self._nearest(_unit(tokens))
        quantised = self.rows[ids].to(tokens.dtype).view(tokens.shape)
        if tokens.requires_grad:
            quantised = tokens + (quantised - tokens).detach()
        return quantised, ids.view(tokens.shape[:-1])

    @torch.no_grad()
    def totals(self, tokens: Tensor, ids: Tensor) -> CodebookTotals:
        """Return what tokens (..., C), given the rows `ids` (...), say of these rows; nothing is changed."""
        flat = ids.flatten()
        sums = torch.zeros_like(self.rows, dtype=torch.float32).index_add_(0, flat, _unit(tokens))
        return CodebookTotals(sums, torch.bincount(flat, minlength=len(self.rows)).float())

    @torch.no_grad()
    def move_rows(self, sums: Tensor, counts: Tensor, decay: float = EMA_DECAY) -> None:
        """Let every row follow the mean of its tokens; a row without tokens moves towards its own direction.

        Args:
            sums: normalised tokens summed per row, (size, width), of all processes.
            counts: tokens per row, (size,), likewise.
            decay: what is kept of the old row and of the old counts.
        """
        mean = functional.normalize(sums / counts.clamp(min=1)[:, None], dim=-1)
        target = torch.where(counts[:, None] > 0, mean, functional.normalize(self.rows, dim=-1))
        self.rows.lerp_(target.to(self.rows.dtype), 1 - decay)
        self.counts.lerp_(counts.to(self.counts.dtype), 1 - decay)

    def _nearest(self, unit_NC: Tensor) -> Tensor:
        unit_rows = functional.normalize(self.rows.float(), dim=-1)
        return torch.cat(
            [(part @ unit_rows.T).argmax(dim=-1) for part in torch.split(unit_NC, TOKENS_AT_ONCE)]
        )


def _unit(tokens: Tensor) -> Tensor:
    """Tokens as unit rows (N, C), float32."""
    return functional.normalize(tokens.detach().float(), dim=-1).flatten(0, -2)
