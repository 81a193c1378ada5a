"""LoRA beside a language model's matrices, as peft writes it (Hu et al., arXiv 2106.09685); read strictly."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from encoders.checkpoints import read_state_dict
from encoders.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER_CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_INSTALL = "LoRA needs peft, which is not installed: pip install 'ctsearch[chat]'"


def has_adapter(folder: Path) -> bool:
    """Whether a directory holds one."""
    return (folder / ADAPTER_CONFIG).is_file()


def add_adapter(
    llm: nn.Module, *, rank: int, alpha: int, new_tokens: Sequence[int] = (), seed: int = 0
) -> "PeftModel":
    """Put a fresh adapter beside every matrix of a language model but its head; it changes no answer yet.

    Args:
        llm: changed in place; its own weights no longer learn.
        rank: of the added matrices.
        alpha: they are scaled by alpha / rank.
        new_tokens: ids whose embeddings learn, they alone of all.
        seed: of the first half of each pair; the second is zero.

    Raises:
        ConfigError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError(_INSTALL) from error
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        trainable_token_indices=list(new_tokens) or None,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return get_peft_model(llm, config)  # in float32, whatever the type of what is frozen


def adapter_tensors(adapted: "PeftModel", tensors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return the adapter's weights under the names that peft's files have.

    Args:
        adapted: a model with an adapter.
        tensors: the model's weights, where they have been put together from several processes.
    """
    from peft import get_peft_model_state_dict

    given = None if tensors is None else dict(tensors)
    found = get_peft_model_state_dict(adapted, state_dict=given, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in found.items()}


def write_adapter(
    adapted: "PeftModel", folder: Path, tensors: Mapping[str, Tensor] | None = None, base: str = ""
) -> None:
    """Write an adapter as peft reads it; `base` says beside which model it belongs."""
    config = adapted.peft_config["default"]
    config.base_model_name_or_path = base
    config.inference_mode = True
    config.save_pretrained(str(folder))
    save_file(adapter_tensors(adapted, tensors), folder / _WEIGHTS[0], metadata={"format": "pt"})


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """Read an adapter's weights, and what of the embeddings peft may have saved with them.

    Raises:
        CheckpointError: there are none.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return read_state_dict(folder / name)
    raise CheckpointError(f"{folder} has {ADAPTER_CONFIG} and no {_WEIGHTS[0]}; copy the whole directory")


def merged(llm: nn.Module, folder: Path, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return a language model with an adapter added to its matrices for good.

    Args:
        llm: changed in place.
        folder: where the adapter's configuration is.
        tensors: the adapter's weights alone.

    Raises:
        CheckpointError: they are of another model or another configuration; the first key is named.
        ConfigError: peft is not installed.
    """
    adapted = _empty_adapter(llm, folder)
    from peft import set_peft_model_state_dict

    expected = {name: tuple(tensor.shape) for name, tensor in adapter_tensors(adapted).items()}
    for name in sorted({*expected, *tensors}):
        found = tuple(tensors[name].shape) if name in tensors else "of nothing"
        if found != expected.get(name):
            raise CheckpointError(
                f"{folder}: the adapter's key {name!r} has the shape {found} where the language model asks "
                f"for {expected.get(name, 'nothing')}; give the base model that it was trained beside"
            )
    set_peft_model_state_dict(adapted, dict(tensors))
    whole: nn.Module = adapted.merge_and_unload()
    return whole.eval()


def _empty_adapter(llm: nn.Module, folder: Path) -> Any:
    try:
        from peft import PeftConfig, get_peft_model
    except ImportError as error:
        raise ConfigError(_INSTALL) from error
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        return get_peft_model(llm, config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{folder / ADAPTER_CONFIG} does not fit the language model ({reason}); give the base model that "
            "it was trained beside"
        ) from error
