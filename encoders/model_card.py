"""What a model on disk says of itself, and whether its files are as they were written; read without torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.config import CtClipConfig
from encoders.ct_net_config import ModelConfig, model_config
from encoders.errors import CheckpointError, ConfigError

FORMAT = "ctsearch encoder 1"
WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.safetensors", "config.json", "tokenizer.json"
BUILT_IN = Path(__file__).parent / "builtin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What `config.json` says of a model; its files are as written once `verify_model` has passed."""

    directory: Path
    described: ModelConfig
    digest: str  # SHA-256 in hexadecimal
    files: Mapping[str, str]  # name to SHA-256
    source: str  # where the weights come from, in words

    @property
    def config(self) -> CtClipConfig:
        """The dimensions of a CT-CLIP.

        Raises:
            CheckpointError: it is another kind of model.
        """
        if not isinstance(self.described, CtClipConfig):
            raise CheckpointError(
                f"{self.directory} is a CT-Net where a CT-CLIP is asked for; give another model"
            )
        return self.described

    @property
    def tokenizer_file(self) -> Path | None:
        """The tokeniser, if the model has one."""
        return self.directory / TOKENIZER_FILE if TOKENIZER_FILE in self.files else None


def built_in_names() -> list[str]:
    """Names of the encoders that are part of the package."""
    return sorted(path.parent.name for path in BUILT_IN.glob(f"*/{CONFIG_FILE}"))


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
            f"{directory} is no model directory, it has no {CONFIG_FILE}; "
            "make one with ctsearch models import CHECKPOINT --out DIR"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    try:
        data = json.loads(text)
        card = ModelCard(
            directory=directory,
            described=model_config(data["model"]),
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
    if card.digest != model_digest(data["model"], card.files):
        raise CheckpointError(f"{path} has been changed since it was written; import the checkpoint again")
    return card


def verify_model(card: ModelCard) -> None:
    """Compare every file of a model with the SHA-256 that its config.json lists.

    Raises:
        CheckpointError: a file is missing, truncated or changed.
    """
    verify_files(card.directory, card.files, "import the checkpoint again")


def verify_files(directory: Path, files: Mapping[str, str], remedy: str) -> None:
    """Compare files with the SHA-256 that a card lists.

    Args:
        directory: where they lie; a path in a name is not followed.
        files: digests in hexadecimal, by name.
        remedy: what to do, for the sentence.

    Raises:
        CheckpointError: a file is missing, truncated or changed.
    """
    for name, digest in files.items():
        path = directory / Path(name).name
        try:
            found = file_sha256(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
        if found != digest:
            raise CheckpointError(f"{path} is not the file that was written: {remedy}")


def model_digest(model: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Return the SHA-256 that identifies a model of these dimensions and files, in hexadecimal."""
    identity = json.dumps({"format": FORMAT, "model": model, "files": dict(files)}, sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
