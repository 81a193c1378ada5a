"""CT-CLIP as it is trained: what of it learns, what is recomputed, and one forward pass for all its parts."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from encoders.codebook import CodebookTotals
from encoders.config import CtClipConfig
from encoders.ct_clip import CtClip
from encoders.ct_vit import CtVit, PatchEmbedding, TransformerLayer
from encoders.errors import ConfigError
from training.distributed import Place, sum_over_processes
from training.dropout import one_by_one

Frozen = Literal["nothing", "towers", "volume_tower", "report_tower"]


class Texts(NamedTuple):
    """B texts as tokens, and what seeds the dropout of each."""

    ids_BT: Tensor
    mask_BT: Tensor
    seeds: tuple[int, ...]


class Encoded(NamedTuple):
    """Unit latents of volumes (B, L) and of each batch of texts, and what the codebook is to learn."""

    volume_BL: Tensor
    texts: tuple[Tensor, ...]
    totals: CodebookTotals | None


class Towers(nn.Module):
    """All of a CT-CLIP that DDP and FSDP2 take care of; the temperature, of which everyone has all, is not.

    Every part takes part in each pass, as both ask for. Parts that a frozen model does not train are passed
    without a graph and without dropout.
    """

    def __init__(self, model: CtClip) -> None:
        super().__init__()
        if model.report_tower is None or model.volume_projection is None:
            raise ConfigError("contrastive training needs a report tower and a latent; give such a model")
        self.volume_tower = model.volume_tower
        self.volume_projection = model.volume_projection
        self.report_tower = model.report_tower
        self.report_projection = model.report_projection
        self._whole = (model,)  # in a tuple, so that it is no part of this module

    def forward(self, volume_BCDHW: Tensor, present_B: Tensor, texts: Sequence[Texts]) -> Encoded:
        """Encode volumes and texts.

        Args:
            volume_BCDHW: (B, 1, D, H, W).
            present_B: False where a volume could not be read: the codebook learns nothing of it.
            texts: any number of batches.
        """
        tokens, totals = quantised_tokens(self.volume_tower, volume_BCDHW, present_B)
        return Encoded(
            self._model.project_tokens(tokens).float(),
            tuple(self._report_latents(text).float() for text in texts),
            totals,
        )

    def blocks(self) -> list[nn.Module]:
        """What FSDP2 gathers apart: every layer, and the largest matrix."""
        layers = layers_of(self.volume_tower)
        return [*layers, *self.report_tower.bert.encoder.layer, self.volume_projection]

    @property
    def _model(self) -> CtClip:
        return self._whole[0]

    def _report_latents(self, texts: Texts) -> Tensor:
        if not is_trained(self.report_tower):
            self.report_tower.eval()
        if self.report_tower.training and self.report_tower.config.dropout:
            return one_by_one(self._model.report_latents, *texts)
        return self._model.report_latents(texts.ids_BT, texts.mask_BT)


def layers_of(tower: CtVit) -> list[nn.Module]:
    """What FSDP2 gathers apart of a volume tower."""
    return [module for module in tower.modules() if isinstance(module, TransformerLayer)]


def quantised_tokens(
    tower: CtVit, volume_BCDHW: Tensor, present_B: Tensor
) -> tuple[Tensor, CodebookTotals | None]:
    """Encode volumes, without a graph where the tower does not learn.

    Returns:
        Tokens (B, D', H', W', C), and what the codebook is to learn of those that are present, if it learns.
    """
    learns = is_trained(tower)
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
        before = tower.unquantised_tokens(volume_BCDHW)
        if tower.codebook is None:
            return before, None
        tokens, ids = tower.codebook(before)
    return tokens, tower.codebook.totals(before[present_B], ids[present_B]) if learns else None


def move_codebook(model: CtClip, totals: Sequence[CodebookTotals], place: Place) -> None:
    """Move the codebook's rows once, by the tokens of all chunks and processes."""
    codebook = model.volume_tower.codebook
    if codebook is None or not totals:
        return
    sums = sum_over_processes(torch.stack([one.sums for one in totals]).sum(0), place)
    counts = sum_over_processes(torch.stack([one.counts for one in totals]).sum(0), place)
    codebook.move_rows(sums, counts)


def is_trained(module: nn.Module) -> bool:
    """Whether any weight of it needs a gradient."""
    return any(p.requires_grad for p in module.parameters())


def freeze(model: CtClip, frozen: Frozen) -> None:
    """Let only some of a model learn; projections and the temperature always do."""
    if frozen in ("towers", "volume_tower"):
        model.volume_tower.requires_grad_(False)
    if frozen in ("towers", "report_tower") and model.report_tower is not None:
        model.report_tower.requires_grad_(False)


def recompute_activations(model: CtClip) -> None:
    """Keep only what lies between layers in the graph, and compute the rest again on the way back."""
    for module in model.modules():
        if isinstance(module, TransformerLayer | PatchEmbedding):
            module.recompute = True
    if model.report_tower is not None:
        bert = model.report_tower.bert  # transformers calls it activation checkpointing from 5.20 or so on
        enable = getattr(bert, "activation_checkpointing_enable", bert.gradient_checkpointing_enable)
        bert.config.use_cache = False  # of a decoder
        enable({"use_reentrant": False})


def new_model(config: CtClipConfig, seed: int) -> CtClip:
    """A model of random weights, the same for the same seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return CtClip(config)
