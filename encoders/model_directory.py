"""A model on disk: weights, configuration and tokeniser in one directory, with a digest that identifies it.

`config.json` lists the SHA-256 of the other files; the digest is that of the list and the dimensions, so it
changes whenever an answer could.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders.checkpoints import Weights, expected_shapes
from encoders.config import CtClipConfig
from encoders.errors import CheckpointError, ConfigError, StorageError
from encoders.reports import ReportTokenizer

FORMAT = "ctsearch encoder 1"
WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.safetensors", "config.json", "tokenizer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What `config.json` says of a model; its files are as written once `verify_model` has passed."""

    directory: Path
    config: CtClipConfig
    digest: str  # SHA-256 in hexadecimal
    files: Mapping[str, str]  # name to SHA-256
    source: str  # where the weights come from, in words

    @property
    def tokenizer_file(self) -> Path | None:
        """The tokeniser, if the model has one."""
        return self.directory / TOKENIZER_FILE if TOKENIZER_FILE in self.files else None


def write_model(
    directory: Path, weights: Weights, *, tokenizer: ReportTokenizer | None = None, source: str = ""
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
        check_tokenizer(tokenizer, weights.config)
    directory = directory.absolute()
    draft = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    try:
        standing = _standing_model(directory)
        draft.mkdir(parents=True)
        card = _write_files(draft, weights, tokenizer, source)
        if standing is None or _is_replaced_by(standing, card):
            _swap(draft, directory)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{directory} cannot be written: {error}; free space or choose another --out"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return read_card(directory)


def read_card(directory: Path) -> ModelCard:
    """Read what a model says of itself, without its weights.

    Raises:
        CheckpointError: the directory is no model, or its config.json has been changed.
    """
    path = directory / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{directory} is no model directory, it has no {CONFIG_FILE}; make one with ctsearch models import"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    try:
        data = json.loads(text)
        card = ModelCard(
            directory=directory,
            config=CtClipConfig.from_json(data["model"]),
            digest=str(data["digest"]),
            files=dict(data["files"]),
            source=str(data["source"]),
        )
        known = data["format"] == FORMAT and WEIGHTS_FILE in card.files
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"{path} does not describe a model of ctsearch; import the checkpoint again"
        ) from error
    if not known:
        raise CheckpointError(f"{path} has the format {data['format']!r}, this version reads {FORMAT!r}")
    if card.digest != _digest(data["model"], card.files):
        raise CheckpointError(f"{path} has been changed since it was written; import the checkpoint again")
    return card


def verify_model(card: ModelCard) -> None:
    """Compare every file of a model with the SHA-256 that its config.json lists.

    Raises:
        CheckpointError: a file is missing, truncated or changed.
    """
    for name, digest in card.files.items():
        path = card.directory / name
        try:
            found = _sha256(path)
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read: {error.strerror}; import the checkpoint again"
            ) from error
        if found != digest:
            raise CheckpointError(f"{path} is not the file that was written; import the checkpoint again")


def read_model(card: ModelCard) -> Weights:
    """Read the weights of a model, whose files are verified first; they stay on disk until they are used.

    Raises:
        CheckpointError: a file is missing, truncated or changed, or does not fit its configuration.
    """
    verify_model(card)
    try:
        weights = Weights(card.config, load_file(card.directory / WEIGHTS_FILE))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{card.directory / WEIGHTS_FILE} cannot be read: {error}") from error
    _check_weights(weights)
    return weights


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


def _check_weights(weights: Weights) -> None:
    expected = expected_shapes(weights.config)
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
    return standing.digest != card.digest and not (standing.config == card.config and loses_tokenizer)


def _write_files(draft: Path, weights: Weights, tokenizer: ReportTokenizer | None, source: str) -> ModelCard:
    tensors: dict[str, Tensor] = {name: weights.tensors[name] for name in sorted(weights.tensors)}
    save_file(tensors, draft / WEIGHTS_FILE)
    if tokenizer is not None:
        (draft / TOKENIZER_FILE).write_text(tokenizer.to_json(), encoding="utf-8")
    files = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
    model = weights.config.to_json()
    described: dict[str, Any] = {
        "format": FORMAT,
        "digest": _digest(model, files),
        "source": source,
        "files": files,
        "model": model,
    }
    (draft / CONFIG_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return read_card(draft)


def _swap(draft: Path, directory: Path) -> None:
    if not directory.exists():
        draft.rename(directory)
        return
    old = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    directory.rename(old)
    try:
        draft.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _digest(model: Mapping[str, Any], files: Mapping[str, str]) -> str:
    identity = json.dumps({"format": FORMAT, "model": model, "files": dict(files)}, sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
