"""CT-CHAT's projector: what a volume's tokens say, as rows that a language model reads like words.

Learned queries attend to the tokens of one volume (attention pool); what each found goes through a small
network to the width of the language model. Names of modules are those of the published weights
(arXiv 2403.17834).

Shapes: B volumes, N tokens of a volume, C their width, Q queries, E width of the pool, M width of the
language model.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from chat.projector_keys import projector_tensors
from encoders.checkpoints import read_state_dict
from encoders.errors import CheckpointError, ConfigError

PUBLISHED_HEADS = 8  # the only size that no shape tells


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorConfig:
    """Dimensions of a projector.

    Attributes:
        context_dim: width of the encoder's tokens.
        width: of the attention pool.
        queries: rows that a volume becomes.
        llm_dim: width of the language model.
        heads: of the attention pool.
    """

    context_dim: int
    width: int
    queries: int
    llm_dim: int
    heads: int

    def __post_init__(self) -> None:
        if min(self.context_dim, self.width, self.queries, self.llm_dim, self.heads) < 1:
            raise ConfigError(f"a projector's dimensions are 1 or more, found {self}")
        if self.width % self.heads:
            raise ConfigError(
                f"the projector's width of {self.width} cannot be divided among {self.heads} heads; give the "
                "number of heads it was trained with"
            )


class AttentionPool(nn.Module):
    """Queries read the tokens: LayerNorm on both, keys and values of the normed tokens, no bias."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Parameter(torch.randn(config.queries, config.width))
        self.ln_q = nn.LayerNorm(config.width)
        self.ln_k = nn.LayerNorm(config.context_dim)
        self.to_q = nn.Linear(config.width, config.width, bias=False)
        self.to_kv = nn.Linear(config.context_dim, 2 * config.width, bias=False)
        self.to_out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """Return what each query found, (B, Q, E)."""
        query_1QE = self.to_q(self.ln_q(self.query))[None]
        keys_BNE, values_BNE = self.to_kv(self.ln_k(tokens_BNC)).chunk(2, dim=-1)
        query = self._in_heads(query_1QE).expand(len(tokens_BNC), -1, -1, -1)
        found = functional.scaled_dot_product_attention(  # which scales by head width^-0.5
            query, self._in_heads(keys_BNE), self._in_heads(values_BNE)
        )
        pooled: Tensor = self.to_out(found.transpose(1, 2).flatten(2))
        return pooled

    def _in_heads(self, rows_BNE: Tensor) -> Tensor:
        split = (*rows_BNE.shape[:2], self.heads, rows_BNE.shape[2] // self.heads)
        return rows_BNE.view(split).transpose(1, 2)


class Projector(nn.Module):
    """From a volume's tokens to rows that stand where a language model would see the embeddings of words."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.config = config
        self.attn_pool = AttentionPool(config)
        self.ln = nn.LayerNorm(config.width)
        self.proj = nn.Sequential(
            nn.Linear(config.width, config.llm_dim),
            nn.GELU(),
            nn.Linear(config.llm_dim, config.llm_dim),
        )

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """Return the rows of volumes, (B, Q, M), in the type of the weights.

        Args:
            tokens_BNC: as `Encoder.volume_tokens` gives them, flattened to one axis; any number.

        Raises:
            ConfigError: they are not as wide as those it was trained with.
        """
        width = self.config.context_dim
        if tokens_BNC.ndim != 3 or tokens_BNC.shape[-1] != width or not tokens_BNC.shape[1]:
            raise ConfigError(
                f"the projector reads tokens (volumes, tokens, {width}), found {tuple(tokens_BNC.shape)}; "
                "use the encoder that it was trained with"
            )
        rows: Tensor = self.proj(self.ln(self.attn_pool(tokens_BNC.to(self.ln.weight.dtype))))
        return rows


def load_projector(path: str | Path, heads: int = PUBLISHED_HEADS) -> Projector:
    """Read a projector; every dimension but the number of heads comes from the shapes of its weights.

    Args:
        path: .bin, .pt or .safetensors; a projector alone, LLaVA's `mm_projector.bin` or
            `non_lora_trainables.bin`, or a file of a whole model. Pickles are not run.
        heads: of the attention pool.

    Returns:
        The projector in float32, in evaluation mode; tokens (B, N, C) become rows (B, Q, M).

    Raises:
        CheckpointError: the file is no checkpoint or holds no projector; the first key that is missing, of
            another shape or left over is named.
        ConfigError: the width is no multiple of `heads`.

    Source:
        arXiv 2403.17834, CT-CHAT; the layout is LLaVA's.
    """
    path = Path(path).expanduser()
    return projector_of(projector_tensors(read_state_dict(path), str(path)), str(path), heads)


def projector_of(tensors: dict[str, Tensor], where: str, heads: int = PUBLISHED_HEADS) -> Projector:
    """Make a projector of its weights under their own names; `where` they come from is for errors.

    Raises:
        As for `load_projector`.
    """
    config = _dimensions(tensors, where, heads)
    with torch.device("meta"):
        projector = Projector(config)
    expected = {name: tuple(tensor.shape) for name, tensor in projector.state_dict().items()}
    _check_fit(tensors, expected, where)
    weights = {name: tensor.detach().to(torch.float32).contiguous() for name, tensor in tensors.items()}
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise CheckpointError(f"{where}: the projector's key {name!r} holds values that are not finite")
    projector.load_state_dict(weights, assign=True)
    return projector.eval()


def _dimensions(tensors: dict[str, Tensor], where: str, heads: int) -> ProjectorConfig:
    """Read all but the heads off three shapes; whether the others agree is checked afterwards."""
    two_axes = ("attn_pool.query", "attn_pool.to_kv.weight", "proj.0.weight")
    for name in two_axes:
        if name not in tensors:
            raise CheckpointError(f"{where}: the projector's key {name!r} is missing; export all of it")
        if tensors[name].ndim != 2 or not tensors[name].numel():
            raise CheckpointError(
                f"{where}: the projector's key {name!r} has the shape {tuple(tensors[name].shape)} where "
                "two axes are asked for"
            )
    queries, width = tensors["attn_pool.query"].shape
    return ProjectorConfig(
        context_dim=tensors["attn_pool.to_kv.weight"].shape[1],
        width=width,
        queries=queries,
        llm_dim=tensors["proj.0.weight"].shape[0],
        heads=heads,
    )


def _check_fit(tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]], where: str) -> None:
    for name, shape in expected.items():
        if name not in tensors:
            raise CheckpointError(f"{where}: the projector's key {name!r} is missing; export all of it")
        found = tuple(tensors[name].shape)
        if found != shape:
            raise CheckpointError(
                f"{where}: the projector's key {name!r} has the shape {found} where its other weights ask "
                f"for {shape}"
            )
        if not tensors[name].is_floating_point():
            raise CheckpointError(
                f"{where}: the projector's key {name!r} holds {tensors[name].dtype} where floating-point "
                "weights belong"
            )
    for name in tensors:
        if name not in expected:
            raise CheckpointError(
                f"{where}: the key {name!r} is left over; no part of CT-CHAT's projector reads it"
            )
