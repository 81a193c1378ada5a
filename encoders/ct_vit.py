"""The volume tower: a 3D vision transformer that turns a CT into a grid of tokens (CT-ViT, arXiv 2305.16037).

Slices are read one group at a time by a spatial transformer, then along the body by a temporal one, and each
token is replaced by its nearest row of a codebook. The published weights fix every detail here.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from encoders.codebook import Codebook
from encoders.config import VolumeEncoderConfig

ATTENTION_SCALE = 8.0  # logits are 8 times a cosine
ROWS_AT_ONCE = 2048  # of the wide layers without gradients: intermediates stay near the processor's caches
PATCH_GROUPS_AT_ONCE = 2


class GainNorm(nn.LayerNorm):
    """LayerNorm whose offset is a buffer: zero in every published weight, and never trained."""

    offset: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(width, bias=False)
        self.register_buffer("offset", torch.zeros(width))

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise the last axis of `rows`, (..., C)."""
        return functional.layer_norm(rows, self.normalized_shape, self.weight, self.offset, self.eps)


class PatchEmbedding(nn.Module):
    """Cuts a volume into blocks and maps each to a token.

    Attributes:
        recompute: in training, what lies between input and output is computed again on the way back.
    """

    recompute = False

    def __init__(self, config: VolumeEncoderConfig) -> None:
        super().__init__()
        self.patch_slices, self.patch_px = config.patch_slices, config.patch_px
        voxels = config.patch_slices * config.patch_px**2
        self.voxel_norm = nn.LayerNorm(voxels)
        self.projection = nn.Linear(voxels, config.width)
        self.token_norm = nn.LayerNorm(config.width)

    def forward(self, volume_BCDHW: Tensor) -> Tensor:
        """Return tokens (B, D', H', W', C) of a one-channel volume."""
        if self.recompute and torch.is_grad_enabled():
            recomputed: Tensor = checkpoint(self._embed, volume_BCDHW, use_reentrant=False)
            return recomputed
        if self.training or torch.is_grad_enabled():
            return self._embed(volume_BCDHW)
        groups = torch.split(volume_BCDHW, self.patch_slices * PATCH_GROUPS_AT_ONCE, dim=2)
        return torch.cat([self._embed(group) for group in groups], dim=1)

    def _embed(self, volume_BCDHW: Tensor) -> Tensor:
        batch, channels, slices, rows, columns = volume_BCDHW.shape
        depth, height, width = slices // self.patch_slices, rows // self.patch_px, columns // self.patch_px
        blocks = volume_BCDHW.reshape(
            batch, channels, depth, self.patch_slices, height, self.patch_px, width, self.patch_px
        )
        flat = blocks.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)  # (channel, slice, row, column) of a block
        tokens: Tensor = self.token_norm(self.projection(self.voxel_norm(flat)))
        return tokens


class PositionConv(nn.Module):
    """Position-encoding generator: a depthwise convolution over the token grid, causal along the slices."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv3d(width, width, kernel_size=3, groups=width)

    def forward(self, rows: Tensor, token_shape: torch.Size) -> Tensor:
        """Convolve rows (…, C) read in their own order as the grid `token_shape`, (B, D', H', W').

        The temporal transformer's rows are ordered (B, H', W', D') and are read as (B, D', H', W') all the
        same: a slip of the published code that its weights were trained with.
        """
        grid = rows.reshape(*token_shape, -1).movedim(-1, 1)
        mixed: Tensor = self.depthwise(functional.pad(grid, (1, 1, 1, 1, 2, 0)))
        return mixed.movedim(1, -1).reshape(rows.shape)


class CosineAttention(nn.Module):
    """Attention between L2-normalised queries and keys; only the queries see normalised tokens."""

    def __init__(self, config: VolumeEncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        inner = config.heads * config.head_width
        self.norm = GainNorm(config.width)
        self.to_query = nn.Linear(config.width, inner, bias=False)
        self.to_key_value = nn.Linear(config.width, 2 * inner, bias=False)
        self.query_scale = nn.Parameter(torch.ones(config.head_width))
        self.key_scale = nn.Parameter(torch.ones(config.head_width))
        self.to_out = nn.Linear(inner, config.width, bias=False)

    def forward(self, rows_RNC: Tensor, bias_HNN: Tensor | None) -> Tensor:
        """Mix the N tokens of each of R rows; the bias is added to the logits of every row."""
        key, value = self.to_key_value(rows_RNC).chunk(2, dim=-1)
        query = self._split(self.to_query(self.norm(rows_RNC)))
        query = functional.normalize(query, dim=-1) * self.query_scale
        key = functional.normalize(self._split(key), dim=-1) * self.key_scale
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            self._split(value),
            attn_mask=None if bias_HNN is None else bias_HNN[None],
            scale=ATTENTION_SCALE,
        )
        out: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, rows_RNC: Tensor) -> Tensor:
        row_count, token_count, _ = rows_RNC.shape
        return rows_RNC.view(row_count, token_count, self.heads, -1).transpose(1, 2)


class GatedFeedForward(nn.Module):
    """Feed-forward whose value is gated by a GELU (GEGLU, arXiv 2002.05202)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = int(4 * 2 / 3 * width)
        self.norm = nn.LayerNorm(width)
        self.to_value_gate = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (..., C) one by one."""
        if self.training or torch.is_grad_enabled():
            return self._gated(rows)
        flat = rows.reshape(-1, rows.shape[-1])
        return torch.cat([self._gated(part) for part in torch.split(flat, ROWS_AT_ONCE)]).view(rows.shape)

    def _gated(self, rows: Tensor) -> Tensor:
        value, gate = self.to_value_gate(self.norm(rows)).chunk(2, dim=-1)
        out: Tensor = self.to_out(functional.gelu(gate) * value)
        return out


class TransformerLayer(nn.Module):
    """Position convolution, attention and feed-forward, each added to what came in.

    Attributes:
        recompute: in training, what lies between input and output is computed again on the way back.
    """

    recompute = False

    def __init__(self, config: VolumeEncoderConfig) -> None:
        super().__init__()
        self.position = PositionConv(config.width)
        self.attention = CosineAttention(config)
        self.feed_forward = GatedFeedForward(config.width)

    def forward(self, rows_RNC: Tensor, token_shape: torch.Size, bias_HNN: Tensor | None) -> Tensor:
        """Return rows of the same shape."""
        if self.recompute and torch.is_grad_enabled():
            recomputed: Tensor = checkpoint(self._mix, rows_RNC, token_shape, bias_HNN, use_reentrant=False)
            return recomputed
        return self._mix(rows_RNC, token_shape, bias_HNN)

    def _mix(self, rows_RNC: Tensor, token_shape: torch.Size, bias_HNN: Tensor | None) -> Tensor:
        rows_RNC = rows_RNC + self.position(rows_RNC, token_shape)
        rows_RNC = rows_RNC + self.attention(rows_RNC, bias_HNN)
        mapped: Tensor = self.feed_forward(rows_RNC)
        return rows_RNC + mapped


class Transformer(nn.Module):
    """A stack of layers over rows of tokens."""

    def __init__(self, config: VolumeEncoderConfig, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(depth))
        self.norm = GainNorm(config.width)

    def forward(self, rows_RNC: Tensor, token_shape: torch.Size, bias_HNN: Tensor | None = None) -> Tensor:
        """Return rows of the same shape; `token_shape` is (B, D', H', W')."""
        for layer in self.layers:
            rows_RNC = layer(rows_RNC, token_shape, bias_HNN)
        normed: Tensor = self.norm(rows_RNC)
        return normed


class PositionBias(nn.Module):
    """Attention bias between the cells of a slice group, from their offset in log distance."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.hidden_1 = nn.Linear(2, width)
        self.hidden_2 = nn.Linear(width, width)
        self.to_heads = nn.Linear(width, heads)

    def forward(self, rows: int, columns: int) -> Tensor:
        """Return (heads, rows · columns, rows · columns), query cell first.

        The network runs once per distinct offset, (2·rows - 1)·(2·columns - 1) of them, not once per pair.
        """
        weight = self.hidden_1.weight
        steps = [torch.arange(1 - n, n, device=weight.device) for n in (rows, columns)]
        offset = torch.cartesian_prod(*steps).to(torch.float32)
        offset = (offset.sign() * (offset.abs() + 1).log()).to(weight.dtype)
        hidden = functional.leaky_relu(self.hidden_1(offset), 0.1)
        per_offset = self.to_heads(functional.leaky_relu(self.hidden_2(hidden), 0.1))
        row = (steps[0][rows - 1 :, None] - steps[0][None, rows - 1 :]) + rows - 1
        column = (steps[1][columns - 1 :, None] - steps[1][None, columns - 1 :]) + columns - 1
        index = row[:, None, :, None] * (2 * columns - 1) + column[None, :, None, :]
        bias: Tensor = per_offset[index.flatten()].T.reshape(-1, rows * columns, rows * columns)
        return bias.contiguous()


class CtVit(nn.Module):
    """The volume tower: (B, 1, D, H, W) in [-1, 1] to quantised tokens (B, D', H', W', C)."""

    def __init__(self, config: VolumeEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = PatchEmbedding(config)
        self.position_bias = PositionBias(config.width, config.heads)
        self.spatial = Transformer(config, config.spatial_depth)
        self.temporal = Transformer(config, config.temporal_depth)
        self.codebook = Codebook(config.codebook_size, config.width) if config.codebook_size else None
        self._bias: tuple[object, Tensor] | None = None  # with what it was computed from

    def forward(self, volume_BCDHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return tokens and their codebook rows.

        Args:
            volume_BCDHW: one channel, on the grid of the configuration.

        Returns:
            Tokens (B, D', H', W', C) after quantisation, and int64 ids (B, D', H', W') of their codebook rows
            (None without a codebook).
        """
        tokens = self.unquantised_tokens(volume_BCDHW)
        return (tokens, None) if self.codebook is None else self.codebook(tokens)

    def unquantised_tokens(self, volume_BCDHW: Tensor) -> Tensor:
        """Return the tokens (B, D', H', W', C) that quantisation starts from."""
        tokens: Tensor = self.patches(volume_BCDHW)
        token_shape = tokens.shape[:-1]
        batch, groups, rows, columns = token_shape
        tokens = self.spatial(
            tokens.flatten(2, 3).flatten(0, 1), token_shape, self._spatial_bias(rows, columns)
        )
        tokens = tokens.view(batch, groups, rows * columns, -1).transpose(1, 2).flatten(0, 1)
        tokens = self.temporal(tokens, token_shape)
        tokens = tokens.view(batch, rows, columns, groups, -1)
        return tokens.permute(0, 3, 1, 2, 4)

    def train(self, mode: bool = True) -> Self:
        """Change the mode, and forget the bias of before: FSDP2 changes weights without a trace."""
        self._bias = None
        return super().train(mode)

    def _spatial_bias(self, rows: int, columns: int) -> Tensor:
        """The bias depends on weights alone: without gradients it is computed once per loaded model."""
        if self.training or torch.is_grad_enabled():
            fresh: Tensor = self.position_bias(rows, columns)
            return fresh
        weights = self.position_bias.parameters()
        version = tuple((weight.data_ptr(), _edits(weight), weight.dtype) for weight in weights)
        if self._bias is None or self._bias[0] != (version, rows, columns):
            self._bias = ((version, rows, columns), self.position_bias(rows, columns))
        return self._bias[1]


def _edits(weight: Tensor) -> int:
    """How often a weight was changed in place; one made under inference mode never is."""
    return 0 if weight.is_inference() else weight._version
