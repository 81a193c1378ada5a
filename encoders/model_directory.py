"""A model on disk: weights, configuration and tokeniser in one directory, with a digest that identifies it.

`config.json` lists the SHA-256 of the other files; the digest is that of the list and the dimensions, so it
changes whenever an answer could.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders.checkpoints import Weights, expected_shapes
from encoders.config import CtClipConfig
from encoders.ct_net import CtNet
from encoders.ct_net_config import CtNetConfig
from encoders.errors import CheckpointError
from encoders.model_card import (
    CONFIG_FILE,
    FORMAT,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ModelCard,
    file_sha256,
    model_digest,
    read_card,
    verify_model,
)
from encoders.reports import ReportTokenizer
from encoders.whole_directory import draft_beside, put_in_place


@dataclass(frozen=True, slots=True)
class CtNetWeights:
    """A CT-Net's configuration and its weights."""

    config: CtNetConfig
    tensors: dict[str, Tensor]


AnyWeights = Weights | CtNetWeights


def write_model(
    directory: Path, weights: AnyWeights, *, tokenizer: ReportTokenizer | None = None, source: str = ""
) -> ModelCard:
    """Write a model; the directory appears whole or not at all.

    An existing model of the same weights is replaced, so that it may gain a tokeniser; it does not lose one.
    Anything else that is there is left alone.

    Args:
        directory: made here, its parents too.
        weights: as `read_checkpoint` returns them, or a trained model's.
        tokenizer: without one the model encodes token ids, not text.
        source: a word on where the weights come from; no part of the digest.

    Raises:
        CheckpointError: the weights do not fit their configuration, the tokeniser is another model's, or the
            directory holds something else.
        StorageError: the disk is full or may not be written to.
    """
    _check_weights(weights)
    if tokenizer is not None:
        _check_tokenizer(tokenizer, weights)
    directory = directory.absolute()
    standing = _standing_model(directory)
    with draft_beside(directory) as draft:
        card = _write_files(draft, weights, tokenizer, source)
        if standing is None or _is_replaced_by(standing, card):
            put_in_place(draft, directory)
    return read_card(directory)


def read_model(card: ModelCard) -> Weights:
    """Read the weights of a CT-CLIP, whose files are verified first; they stay on disk until they are used.

    Raises:
        CheckpointError: a file is missing, truncated or changed, does not fit its configuration, or is
            another kind of model's.
    """
    weights = Weights(card.config, _read_tensors(card))
    _check_weights(weights)
    return weights


def read_ct_net(card: ModelCard) -> CtNetWeights:
    """Read the weights of a CT-Net, as `read_model` those of a CT-CLIP.

    Raises:
        CheckpointError: as there.
    """
    if not isinstance(card.described, CtNetConfig):
        raise CheckpointError(
            f"{card.directory} is a CT-CLIP where a CT-Net is asked for; give another model"
        )
    weights = CtNetWeights(card.described, _read_tensors(card))
    _check_weights(weights)
    return weights


def _read_tensors(card: ModelCard) -> dict[str, Tensor]:
    verify_model(card)
    try:
        return load_file(card.directory / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{card.directory / WEIGHTS_FILE} cannot be read: {error}") from error


def check_tokenizer(tokenizer: ReportTokenizer, config: CtClipConfig) -> None:
    """Refuse a tokeniser whose ids are not rows of the model's embedding.

    Raises:
        CheckpointError: the sizes differ, or the model reads no text.
    """
    if config.report is None:
        raise CheckpointError(
            "the checkpoint is a volume encoder alone and reads no text; leave --tokenizer out"
        )
    if tokenizer.vocabulary != config.report.vocabulary:
        raise CheckpointError(
            f"the tokeniser has {tokenizer.vocabulary} tokens and the checkpoint's embedding "
            f"{config.report.vocabulary} rows; give the vocabulary that the checkpoint was trained with"
        )


def _check_tokenizer(tokenizer: ReportTokenizer, weights: AnyWeights) -> None:
    if not isinstance(weights, Weights):
        raise CheckpointError("a CT-Net reads no text; leave its tokeniser out")
    check_tokenizer(tokenizer, weights.config)


def _expected_shapes(weights: AnyWeights) -> dict[str, tuple[int, ...]]:
    if isinstance(weights, Weights):
        return expected_shapes(weights.config)
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in CtNet(weights.config).state_dict().items()}


def _check_weights(weights: AnyWeights) -> None:
    expected = _expected_shapes(weights)
    found = {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"the weight {name!r} has the shape {found.get(name, 'of nothing')} "
                f"where the configuration asks for {expected.get(name, 'nothing')}"
            )


def _standing_model(directory: Path) -> ModelCard | None:
    """The model that is there already; asked before gigabytes are written.

    Raises:
        CheckpointError: the directory holds something else, or a damaged model.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return None
    try:
        return read_card(directory)
    except CheckpointError as error:
        raise CheckpointError(f"{directory} exists and holds no sound model; choose another --out") from error


def _is_replaced_by(standing: ModelCard, card: ModelCard) -> bool:
    """Whether a model takes the place of the one that is there.

    Raises:
        CheckpointError: they differ in their weights.
    """
    if standing.files[WEIGHTS_FILE] != card.files[WEIGHTS_FILE]:
        raise CheckpointError(
            f"{standing.directory} already holds a model of other weights; "
            "choose another --out or delete it first"
        )
    loses_tokenizer = standing.tokenizer_file is not None and card.tokenizer_file is None
    return standing.digest != card.digest and not (standing.described == card.described and loses_tokenizer)


def _write_files(
    draft: Path, weights: AnyWeights, tokenizer: ReportTokenizer | None, source: str
) -> ModelCard:
    save_file(_separate(weights.tensors), draft / WEIGHTS_FILE)
    if tokenizer is not None:
        (draft / TOKENIZER_FILE).write_text(tokenizer.to_json(), encoding="utf-8")
    files = {path.name: file_sha256(path) for path in sorted(draft.iterdir())}
    model = weights.config.to_json()
    described: dict[str, Any] = {
        "format": FORMAT,
        "digest": model_digest(model, files),
        "source": source,
        "files": files,
        "model": model,
    }
    config_file = draft / CONFIG_FILE
    config_file.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    (draft / WEIGHTS_FILE).chmod(config_file.stat().st_mode)  # safetensors lets nobody but its owner read
    return read_card(draft)


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give every weight memory of its own, as safetensors asks; those that have it are not copied."""
    seen: set[int] = set()
    separate: dict[str, Tensor] = {}
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        memory = tensor.untyped_storage()
        if memory.nbytes() != tensor.nbytes or memory.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        separate[name] = tensor
    return separate
