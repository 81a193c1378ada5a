"""A chat model on disk: the published layout (LLaVA's), and ours, which is the same with a card.

A directory has a projector (`mm_projector` or `non_lora_trainables`, .bin or .safetensors; or among the
weights of a merged model), what else was trained whole, a LoRA adapter as peft writes it, and a tokeniser.
The language model that the adapter stands beside lies elsewhere and is never copied.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from chat.adapter import has_adapter, merged, read_adapter
from chat.language_model import load_language_model, load_tokenizer
from chat.model import ChatModel, embedding_of, make_room
from chat.projector import PUBLISHED_HEADS, Projector, projector_of
from chat.projector_keys import SEGMENT, is_of_the_projector, other_tensors, projector_tensors
from encoders.checkpoints import read_state_dict
from encoders.errors import CheckpointError

CARD_FILE, FORMAT = "chat.json", "ctsearch chat 1"
PROJECTOR_FILE = "mm_projector.safetensors"
_TRAINED_WHOLE = ("non_lora_trainables.safetensors", "non_lora_trainables.bin")
_PROJECTORS = (PROJECTOR_FILE, "mm_projector.bin")
_TOKENISERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
_OF_AN_ADAPTER = ("lora_", "trainable_tokens_")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCard:
    """What the files of a chat model do not tell.

    Attributes:
        base: the language model: a directory, a .gguf file, or "smollm2".
        encoder: name or directory of the encoder that volumes were shown through.
        encoder_digest: of that encoder.
        heads: of the projector's attention pool.
        system: what the model is told before the first question.
        source: a word on how it was trained.
    """

    base: str
    encoder: str
    encoder_digest: str
    heads: int = PUBLISHED_HEADS
    system: str = ""
    source: str = ""


def load_chat_model(
    directory: str | Path,
    *,
    base: str | Path | None = None,
    heads: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ChatModel:
    """Load a chat model: language model, adapter, projector and tokeniser, each strictly.

    Args:
        directory: of the chat model.
        base: the language model; needed where neither a card nor the directory itself has it.
        heads: of the projector; default: the card's, or 8.
        device: as torch names it; "auto" divides the language model among what is there.
        dtype: of the weights; the adapter is added to the language model's matrices in it.

    Raises:
        CheckpointError: something is missing, damaged, or does not fit the rest; the first key is named.
        ConfigError: a package is not installed, or the device is not there.
    """
    directory = Path(directory).expanduser().absolute()
    card = read_chat_card(directory)
    given, trained = _projector_and_trained(directory)
    where = _base_of(directory, base, card)
    tokenizer_home = directory if any((directory / name).is_file() for name in _TOKENISERS) else where
    tokenizer = load_tokenizer(tokenizer_home)
    llm: nn.Module = load_language_model(where, device=device, dtype=dtype)
    adapter = read_adapter(directory) if has_adapter(directory) else {}
    own = {key: tensor for key, tensor in adapter.items() if any(part in key for part in _OF_AN_ADAPTER)}
    trained |= other_tensors({k: t for k, t in adapter.items() if k not in own}, str(directory))
    trains_words = any("trainable_tokens_" in key for key in own)
    make_room(llm, len(tokenizer) if trains_words else _words_of(trained))
    _fill(llm, trained, directory)
    if own:
        llm = merged(llm, directory, own)
    projector = projector_of(given, str(directory), heads or (card.heads if card else PUBLISHED_HEADS))
    home = embedding_of(llm).weight.device
    return ChatModel(
        llm,
        tokenizer,
        projector.to(device=home, dtype=dtype),
        system=card.system if card else "",
        name=directory.name,
        encoder=card.encoder if card else "",
        encoder_digest=card.encoder_digest if card else "",
    )


def read_chat_card(directory: Path) -> ChatCard | None:
    """Read what a directory of ours says of its model; None for a published one, which says nothing.

    Raises:
        CheckpointError: there is no such directory, or the card is damaged.
    """
    if not directory.is_dir():
        raise CheckpointError(f"there is no chat model {directory}: give its directory")
    path = directory / CARD_FILE
    if not path.is_file():
        return None
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described.pop("format") != FORMAT:
            raise CheckpointError(f"{path} is of another version; train the model again")
        return ChatCard(**{field.name: described[field.name] for field in fields(ChatCard)})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged; copy the chat model's directory again") from error


def write_chat_files(
    folder: Path, card: ChatCard, projector: Projector, tensors: Mapping[str, Tensor]
) -> None:
    """Write a projector and a card; an adapter and a tokeniser go beside them.

    Args:
        folder: that is there.
        card: what is not in the files.
        projector: whose weights' names are written.
        tensors: its weights by these names, put together from all processes.
    """
    weights = {f"model.{SEGMENT}.{name}": tensors[name].detach().cpu() for name in projector.state_dict()}
    save_file({name: w.float().contiguous().clone() for name, w in weights.items()}, folder / PROJECTOR_FILE)
    described = {"format": FORMAT, **asdict(card)}
    (folder / CARD_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    (folder / PROJECTOR_FILE).chmod((folder / CARD_FILE).stat().st_mode)  # safetensors hides it from others


def _base_of(directory: Path, given: str | Path | None, card: ChatCard | None) -> str | Path:
    if given is not None:
        return given
    if card is not None:
        return card.base
    if not has_adapter(directory) and (directory / "config.json").is_file() and _shards(directory):
        return directory
    raise CheckpointError(
        f"{directory} does not say where its language model lies: give the base model's directory with --base"
    )


def _shards(directory: Path) -> list[Path]:
    """Files with the weights of a whole model."""
    return sorted({*directory.glob("model*.safetensors"), *directory.glob("pytorch_model*.bin")})


def _projector_and_trained(directory: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The projector, and what of the language model was trained whole."""
    whole = _first_of(directory, _TRAINED_WHOLE)
    trained = other_tensors(whole, str(directory)) if whole else {}
    places: tuple[Callable[[], dict[str, Tensor]], ...] = (  # in turn: shards are not read for nothing
        lambda: whole,
        lambda: _first_of(directory, _PROJECTORS),
        lambda: _projector_among(_shards(directory)),
    )
    for read in places:
        tensors = read()
        if any(is_of_the_projector(key) or key.startswith("attn_pool.") for key in tensors):
            return projector_tensors(tensors, str(directory)), trained
    raise CheckpointError(
        f"{directory} holds no projector: a chat model has it in mm_projector.bin or non_lora_trainables.bin"
    )


def _first_of(directory: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    found = [directory / name for name in names if (directory / name).is_file()]
    return read_state_dict(found[0]) if found else {}


def _projector_among(shards: list[Path]) -> dict[str, Tensor]:
    """What of a merged model's weights is its projector; the others are not read."""
    found: dict[str, Tensor] = {}
    for shard in shards:
        if shard.suffix == ".safetensors":
            with safe_open(shard, framework="pt") as opened:
                found |= {k: opened.get_tensor(k) for k in opened.keys() if is_of_the_projector(k)}  # noqa: SIM118
        else:
            found |= {k: t for k, t in read_state_dict(shard).items() if is_of_the_projector(k)}
    return found


def _words_of(trained: Mapping[str, Tensor]) -> int:
    """How many words the embeddings have that were trained whole."""
    return max(
        (len(tensor) for name, tensor in trained.items() if name.endswith("embed_tokens.weight")), default=0
    )


def _fill(llm: nn.Module, trained: Mapping[str, Tensor], directory: Path) -> None:
    own = llm.state_dict()
    for name, tensor in trained.items():
        found, expected = tuple(tensor.shape), tuple(own[name].shape) if name in own else "nothing"
        if found != expected:
            raise CheckpointError(
                f"{directory}: the key {name!r} has the shape {found} where the language model asks for "
                f"{expected}; give the base model that it was trained from"
            )
        with torch.no_grad():
            own[name].copy_(tensor)
