"""The codebook: a token becomes its nearest row by cosine, and in training the rows follow their tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional

EMA_DECAY = 0.8
TOKENS_AT_ONCE = 2048  # of the similarity matrix, whose rows are as long as the codebook


class Codebook(nn.Module):
    """Vector quantisation by cosine similarity (arXiv 2110.04627), without a gradient for its rows.

    Attributes:
        rows: (size, width), as stored: not necessarily of unit length.
        counts: (size,), how many tokens each row was given lately, decayed.
        batch_sums: in training, the normalised tokens of the last forward pass summed per row, (size, width).
        batch_counts: likewise their number per row, (size,); gathered over processes both go to `move_rows`.
    """

    rows: Tensor
    counts: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", functional.normalize(torch.randn(size, width), dim=-1))
        self.register_buffer("counts", torch.zeros(size))
        self.batch_sums: Tensor | None = None
        self.batch_counts: Tensor | None = None

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Replace tokens (..., C) by their nearest rows as stored; the rows themselves are left alone.

        Returns:
            The rows, (..., C), through which gradients pass straight to `tokens`, and their ids, int64 (...).
        """
        unit = functional.normalize(tokens.detach().float(), dim=-1).flatten(0, -2)
        ids = self._nearest(unit)
        if self.training:
            self.batch_sums, self.batch_counts = self._totals(unit, ids)
        quantised = self.rows[ids].to(tokens.dtype).view(tokens.shape)
        if tokens.requires_grad:
            quantised = tokens + (quantised - tokens).detach()
        return quantised, ids.view(tokens.shape[:-1])

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

    def _totals(self, unit_NC: Tensor, ids_N: Tensor) -> tuple[Tensor, Tensor]:
        sums = torch.zeros_like(self.rows, dtype=torch.float32).index_add_(0, ids_N, unit_NC)
        return sums, torch.bincount(ids_N, minlength=self.rows.shape[0]).float()
