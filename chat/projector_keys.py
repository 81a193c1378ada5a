"""Where a projector's weights are in the files that LLaVA's training code writes.

They stand alone, or under `mm_projector.`, or, in `non_lora_trainables.bin`, under
`base_model.model.model.mm_projector.` beside what else was trained; `module.` and the like may come first.
"""

from collections.abc import Mapping

from torch import Tensor

from encoders.errors import CheckpointError

SEGMENT = "mm_projector"
_FIRST = "attn_pool.query"  # a key that every projector has
_WRAPPERS = frozenset(("base_model", "model", "module", "_orig_mod", "language_model"))
_OF_THE_LANGUAGE_MODEL = frozenset(("layers", "embed_tokens", "norm", "lm_head", "embed_in", "embed_out"))


def is_of_the_projector(key: str) -> bool:
    """Whether a key names a projector's weight beside those of a language model."""
    return SEGMENT in key.split(".")


def projector_tensors(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Take the projector out of a file's weights and give them their own names.

    Args:
        tensors: under the file's keys.
        where: they come from, for errors.

    Raises:
        CheckpointError: there is none, there are two, or a key belongs neither to it nor to a language model.
    """
    prefix = _prefix_of(tensors, where)
    found: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key.startswith(prefix):
            found[key.removeprefix(prefix)] = tensor
        else:
            _check_is_the_language_models(key, where)
    return found


def other_tensors(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return what of a file is the language model's, under the names that transformers gives it.

    Raises:
        CheckpointError: as for `projector_tensors`.
    """
    rest = [key for key in tensors if not is_of_the_projector(key)]
    for key in rest:
        _check_is_the_language_models(key, where)
    return {_own_name(key): tensors[key] for key in rest}


def _prefix_of(tensors: Mapping[str, Tensor], where: str) -> str:
    prefixes = [key.removesuffix(_FIRST) for key in tensors if key == _FIRST or key.endswith(f".{_FIRST}")]
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{where} holds two projectors, under {prefixes[0]!r} and {prefixes[1]!r}; keep one"
        )
    if not prefixes:
        first = next(iter(tensors))
        raise CheckpointError(
            f"{where}: the projector's key {_FIRST!r} is missing (the first key is {first!r}); give "
            "CT-CHAT's mm_projector.bin or non_lora_trainables.bin"
        )
    return prefixes[0]


def _check_is_the_language_models(key: str, where: str) -> None:
    first = next((part for part in key.split(".") if part not in _WRAPPERS), "")
    if first not in _OF_THE_LANGUAGE_MODEL:
        raise CheckpointError(f"{where}: the key {key!r} is left over; no part of CT-CHAT reads it")


def _own_name(key: str) -> str:
    """`base_model.model.model.embed_tokens.weight` is `model.embed_tokens.weight` without peft's wrapping."""
    return key.removeprefix("base_model.model.")
