"""LoRA: a few weights beside each matrix learn, and become part of it when the model is saved.

Hu et al., arXiv 2106.09685. peft is imported here alone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from encoders.ct_clip import CtClip
from encoders.errors import ConfigError

if TYPE_CHECKING:
    from peft import LoraModel

ADAPTER = "lora_"  # in the names of the added weights
_MATRICES = (
    *("to_query", "to_key_value", "to_out", "to_value_gate"),  # of the volume tower
    *("query", "key", "value", "dense"),  # of BERT
)
_NAME = "default"


def add_lora(model: CtClip, *, rank: int, alpha: int, seed: int = 0) -> "LoraModel":
    """Put adapters beside the matrices of both towers; the towers' own weights no longer learn.

    A fresh adapter adds nothing: the model answers as before.

    Args:
        model: changed in place; projections and temperature go on learning.
        rank: of the added matrices.
        alpha: they are scaled by alpha / rank.
        seed: of their first half; the second is zero.

    Raises:
        ConfigError: peft is not installed.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as error:
        raise ConfigError(
            "LoRA needs peft, which is not installed: pip install 'ctsearch[train]', or train all weights"
        ) from error
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(_MATRICES))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        adapted = LoraModel(model, {_NAME: config}, _NAME)
    for name, weight in model.named_parameters():
        learns = ADAPTER in name or not name.startswith(("volume_tower.", "report_tower."))
        weight.requires_grad_(learns)
    return adapted


def merge_lora(adapted: "LoraModel") -> None:
    """Add the adapters of a model to the matrices they stand beside and take them out, in place."""
    adapted.merge_and_unload()


def merged_tensors(
    model: CtClip, tensors: Mapping[str, Tensor], *, rank: int, alpha: int
) -> dict[str, Tensor]:
    """Return the weights of a trained model with its adapters merged.

    Args:
        model: as it was before it got adapters; changed.
        tensors: of the trained model, its adapters among them, put together from all processes.
        rank: of these.
        alpha: likewise.
    """
    adapted = add_lora(model, rank=rank, alpha=alpha)
    model.load_state_dict(dict(tensors))
    merge_lora(adapted)
    return dict(model.state_dict())
