"""Which backend drafts: the built-in one, unless another is asked for by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chat.backends import Backend
from chat.extractive import Extractive
from encoders.errors import ConfigError, SearchError

if TYPE_CHECKING:
    from chat.ct_chat import CtChat
    from chat.volume_tokens import VolumeTokens

CT_CHAT, OPENAI = "ct-chat", "openai"
BACKENDS = (Extractive.name, CT_CHAT, OPENAI)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """The chat model of `ct-chat`, and what its own directory may not say."""

    directory: Path | None = None
    base: str | None = None  # the language model
    encoder: str | None = None  # through which it sees
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenBackend:
    """A backend, what reads the volumes it is shown, and where reports go, if they leave this machine."""

    backend: Backend
    described: str  # it and its model, for whoever goes on with its answers
    reader: "VolumeTokens | None" = None
    sends_to: str | None = None


def choose_backend(name: str, model: LocalModel = LocalModel()) -> ChosenBackend:
    """Return the backend of this name.

    Args:
        name: one of BACKENDS.
        model: of `ct-chat`; the others take none.

    Raises:
        SearchError: there is none of this name.
        ConfigError: it needs a model or a server and none is named, or a package is not installed.
        CheckpointError: the model's parts do not fit each other, or its encoder is another one.
    """
    if name not in BACKENDS:
        raise SearchError(f"backend {name!r} is unknown; take one of {', '.join(BACKENDS)}")
    if name == CT_CHAT:
        return _local(model)
    if model.directory is not None:
        raise ConfigError(f"--model is for the backend {CT_CHAT}, and {name} was asked for: name one of them")
    if name == Extractive.name:
        return ChosenBackend(backend=Extractive(), described=name)
    from chat.openai_backend import OpenAiBackend
    from chat.server_settings import server_settings

    settings = server_settings()
    described = f"{name} {settings.model} at {settings.address}"
    return ChosenBackend(backend=OpenAiBackend(settings), described=described, sends_to=settings.sends_to)


def _local(model: LocalModel) -> ChosenBackend:
    if model.directory is None:
        raise ConfigError(f"the backend {CT_CHAT} needs a chat model: give its directory with --model")
    import torch

    from chat.ct_chat import load_ct_chat

    dtype = torch.bfloat16 if model.dtype == "bfloat16" else torch.float32
    chat = load_ct_chat(model.directory, base=model.base, device=model.device, dtype=dtype)
    described = f"{CT_CHAT} {model.directory.absolute()}"
    return ChosenBackend(backend=chat, described=described, reader=_reader(chat, model))


def _reader(chat: "CtChat", model: LocalModel) -> "VolumeTokens":
    from retrieval.kept_tokens import tokens_folder

    return chat.volume_tokens(tokens_folder(), encoder=model.encoder)
