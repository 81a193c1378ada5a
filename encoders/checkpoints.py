"""Published checkpoints: read without running their pickles, brought to one form, converted to our weights.

They come as .pt or .safetensors, wrapped or not, with the prefixes of parallel training, whole or as the
volume encoder alone.
"""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from encoders.checkpoint_shapes import (
    PUBLISHED_SLICES,
    PUBLISHED_TEXT_HEADS,
    Shapes,
    config_from_shapes,
)
from encoders.config import CtClipConfig
from encoders.ct_clip import INITIAL_LOG_TEMPERATURE, CtClip
from encoders.errors import CheckpointError
from encoders.published_keys import VOLUME_PREFIX, is_unused, published_names, published_shape

_WRAPPERS = (
    "model",
    "state_dict",
    "model_state_dict",
    "module",
)  # keys under which training codes put weights
_WRAPPING_SEGMENTS = frozenset(  # what DataParallel, torch.compile and FSDP put into the keys
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
)
_ROOTS = frozenset(("visual_transformer", "text_transformer"))


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's configuration and its weights under our names, float32."""

    config: CtClipConfig
    tensors: dict[str, Tensor]


def read_checkpoint(
    path: Path,
    *,
    slices: int = PUBLISHED_SLICES,
    text_heads: int = PUBLISHED_TEXT_HEADS,
    image_px: int | None = None,
) -> Weights:
    """Read a published checkpoint; every dimension but three comes from the shapes of its weights.

    Args:
        path: .pt, .pth, .bin or .safetensors.
        slices: of the grid that the weights were trained on.
        text_heads: attention heads of the report tower.
        image_px: rows and columns of the grid, for a volume encoder alone.

    Raises:
        CheckpointError: the file is no checkpoint, would have to be unpickled, or does not fit; the first key
            that is missing, of another shape or left over is named.
    """
    tensors = _as_published(_mapping_in(path), path)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    try:
        config = config_from_shapes(shapes, slices=slices, text_heads=text_heads, image_px=image_px)
        _check_fit(shapes, config)
        return Weights(config, _converted(tensors, config))
    except CheckpointError as error:
        raise CheckpointError(f"{path} does not fit CT-CLIP: {error}") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of any checkpoint file under their own keys, without running its pickle.

    Raises:
        CheckpointError: the file is no checkpoint, would have to be unpickled, or holds something else.
    """
    found = _unwrapped(_mapping_in(path))
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if len(tensors) != len(found) or not tensors:
        raise CheckpointError(f"{path} holds something else than weights; export the model's state_dict")
    return tensors


def expected_shapes(config: CtClipConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each of our weights, without making them."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in CtClip(config).state_dict().items()}


def _mapping_in(path: Path) -> Mapping[str, object]:
    """Return what the file holds, whatever its form; tensors stay on disk where the form allows it."""
    if not path.is_file():
        what = "is a directory, not a checkpoint file" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {what}; give a .pt or .safetensors file")
    try:
        if path.stat().st_size == 0:
            raise CheckpointError(f"{path} is empty; download or copy it again")
        found = load_file(path) if _is_safetensors(path) else _load_pickle(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is a damaged safetensors file ({error}); copy it again") from error
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path} holds a {type(found).__name__}, not weights; export its state_dict")
    return found


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return path.suffix == ".safetensors" or head[8:] == b"{"


def _load_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols; what matters is an error below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (
        Exception
    ) as error:  # a damaged pickle raises almost anything, "Invalid argument" of the system too
        raise CheckpointError(f"{path} {_pickle_fault(error)}") from error


def _pickle_fault(error: Exception) -> str:
    asks_for_code = isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)
    if asks_for_code:
        return (
            "needs Python code to be unpickled, which is never run; save its state_dict alone and import that"
        )
    return "is no checkpoint, or a damaged one; download or copy it again"


def _as_published(found: Mapping[str, object], path: Path) -> dict[str, Tensor]:
    """Take off wrappers and prefixes, so that keys are those of a whole published model."""
    tensors: dict[str, Tensor] = {}
    for name, value in _unwrapped(found).items():
        key = ".".join(part for part in str(name).split(".") if part not in _WRAPPING_SEGMENTS)
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: the key {key!r} is left over: a {type(value).__name__}, not a tensor"
            )
        if key in tensors:
            raise CheckpointError(f"{path} holds the key {key!r} twice, with and without a prefix; keep one")
        tensors[key] = value
    if not tensors:
        raise CheckpointError(f"{path} holds no weights; export the model's whole state_dict")
    tensors = _without_common_prefix(tensors)
    if any(key.split(".")[0] in _ROOTS for key in tensors):
        return tensors
    return {VOLUME_PREFIX + key: tensor for key, tensor in tensors.items()}


def _unwrapped(found: Mapping[str, object]) -> Mapping[str, object]:
    for wrapper in _WRAPPERS:
        inner = found.get(wrapper)
        if isinstance(inner, Mapping):
            return _unwrapped(inner)
    return found


def _without_common_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    roots = {key.partition(".")[0] for key in tensors}
    if len(roots) > 1 or roots & _ROOTS or not all("." in key for key in tensors):
        return tensors
    return _without_common_prefix({key.partition(".")[2]: tensor for key, tensor in tensors.items()})


def _check_fit(shapes: Shapes, config: CtClipConfig) -> None:
    ours = expected_shapes(config)
    expected = {key: published_shape(name, ours[name]) for name, key in published_names(config).items()}
    for key, shape in expected.items():
        if key not in shapes:
            raise CheckpointError(f"the key {key!r} is missing; export the model's whole state_dict")
        if shapes[key] != shape:
            raise CheckpointError(
                f"the key {key!r} has the shape {shapes[key]} where the other weights ask for {shape}"
            )
    for key in shapes:
        if key not in expected and not is_unused(key):
            raise CheckpointError(f"the key {key!r} is left over; no part of CT-CLIP reads it")


def _converted(tensors: Mapping[str, Tensor], config: CtClipConfig) -> dict[str, Tensor]:
    shapes = expected_shapes(config)
    converted = {"log_temperature": torch.tensor(INITIAL_LOG_TEMPERATURE)}
    for name, key in published_names(config).items():
        tensor = tensors[key]
        if not tensor.is_floating_point():
            raise CheckpointError(f"the key {key!r} holds {tensor.dtype} where floating-point weights belong")
        weight = tensor.detach().to(torch.float32).reshape(shapes[name]).contiguous()
        if not torch.isfinite(torch.stack(torch.aminmax(weight))).all():
            raise CheckpointError(f"the key {key!r} holds values that are not finite")
        converted[name] = weight
    return converted
