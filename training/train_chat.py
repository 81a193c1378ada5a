"""A whole training of a chat model: its parts, its conversations, the loop, and the directory it leaves."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from chat.adapter import add_adapter, has_adapter, write_adapter
from chat.chat_format import add_task_tokens
from chat.directory import ChatCard, load_chat_model, read_chat_card, write_chat_files
from chat.language_model import load_language_model, load_tokenizer
from chat.model import ChatModel, embedding_of, make_room
from chat.projector import Projector, ProjectorConfig
from chat.volume_tokens import VolumeTokens
from encoders.encoder import Encoder, load_encoder
from encoders.errors import CheckpointError, ConfigError
from encoders.whole_directory import draft_beside, put_in_place
from training.chat_data import ChatCollation, ConversationExamples, keep_tokens
from training.chat_runs import ChatRun, with_conversations
from training.chat_tuning import LLM, PROJECTOR, ChatObjective, HeldOutChat
from training.checkpoint import whole_tensors
from training.conversations import (
    Conversation,
    finding_conversations,
    read_conversations,
    report_conversations,
)
from training.distributed import Place, wait_for_all
from training.examples import Example, open_training_source, read_examples
from training.loop import fit
from training.new_projector import fit_to_volumes, tokens_sample
from training.stream import Stream
from training.whole_training import Options, check_free, data_of, training_folder

if TYPE_CHECKING:
    from peft import PeftModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """What a chat model is made of and told, where the run's own will not do.

    Attributes:
        base: of "instruct", the language model in place of the one that the aligned model names.
        encoder: name or directory; of "instruct" in place of the one that the aligned model names.
        conversations: LLaVA's JSON; None: reports are asked for, and of "instruct" findings too.
        steps: in place of whole epochs.
        tokens: folder where tokens of volumes are kept; None: in the training's own folder.
    """

    base: Path | str | None = None
    encoder: Path | str | None = None
    conversations: Path | None = None
    steps: int | None = None
    tokens: Path | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What a training begins with."""

    chat: ChatModel
    base: str
    encoder: Encoder
    encoder_name: str


def train_chat(run: ChatRun, out: Path, place: Place, options: Options, chat: ChatOptions) -> Path:
    """Train a projector, or it and an adapter, and write the chat model, on every process alike.

    Args:
        run: every number of it.
        out: the chat model's directory, made at the end; it appears whole or not at all.
        place: this process among the others.
        options: see there; `init` is the language model of "align", the aligned chat model of "instruct".
        chat: see there.

    Raises:
        ConfigError: there is no data, model or encoder, or the run does not fit them.
        CheckpointError: `out`, the encoder or the model to start from will not do.
        DatasetError: the data is not what it is said to be, or more than 1 % of it cannot be read.
        CtsearchError: a gradient is not finite.
        StorageError: the disk is full or may not be written to.
    """
    check_free(out, options)
    named = chat.conversations is not None  # then the volumes are those that it names
    source_of = replace(run, one_per_patient=run.one_per_patient and not named)
    data = data_of(source_of, options, needs="file" if named else "report", sections=run.sections)
    made = (
        read_conversations(chat.conversations, data.examples)
        if chat.conversations
        else _made(run, data.examples)
    )
    sized = with_conversations(run, len(made), chat.steps)
    start = (
        _aligned(run, options, chat, place) if run.stage == "instruct" else _new(run, options, chat, place)
    )
    folder = training_folder(out)
    kept = VolumeTokens(chat.tokens or folder / "tokens", start.encoder)
    _log.info("%s", kept.describe())
    _keep(made, kept, start, place)
    sample = tokens_sample(made, kept) if run.stage == "align" else None
    if sample is not None:
        words = embedding_of(start.chat.llm).weight.detach()
        size = float(torch.linalg.vector_norm(words, dtype=torch.float32)) / math.sqrt(words.numel())
        fit_to_volumes(start.chat.projector, sample, words_rms=size)
    examples = _examples(made, start, kept, run)
    collation = ChatCollation(start.chat.projector.config.context_dim)
    objective = ChatObjective(
        start.chat, sized, place, _held_out(run, options, start, kept, collation, place)
    )
    stream = Stream(
        examples, collation, batch_size=run.batch_size, seed=run.seed, place=place, workers=options.workers
    )
    fit(objective, stream, sized, place, folder, resume=options.resume)
    tensors = whole_tensors(objective.model, keep=place.is_first)
    if place.is_first:
        source = f"chat-{run.stage}, run {run.name}, {len(made)} conversations, volumes of {data.dataset}"
        _write(out, start, run, tensors, source)
    wait_for_all(place)
    return out


def _made(run: ChatRun, examples: Sequence[Example]) -> tuple[Conversation, ...]:
    """Conversations of reports alone, or of some reports and of findings."""
    if run.stage == "align":
        return report_conversations(examples, task=False)
    order = np.random.default_rng(run.seed).permutation(len(examples))
    reported = [examples[place] for place in order[: round(run.reports_share * len(examples))]]
    return (*report_conversations(reported, task=True), *finding_conversations(examples, run.seed))


def _new(run: ChatRun, options: Options, chat: ChatOptions, place: Place) -> Start:
    base, encoder_name = options.init or run.init, chat.encoder or run.encoder
    if base is None or encoder_name is None:
        raise ConfigError(
            f"the run {run.name} needs a language model and an encoder: give --init and --encoder"
        )
    encoder = load_encoder(encoder_name)
    llm, tokenizer = load_language_model(base, dtype=place.dtype), load_tokenizer(base)
    config = ProjectorConfig(
        context_dim=_token_width(encoder),
        width=run.pool_width,
        queries=run.queries,
        llm_dim=embedding_of(llm).weight.shape[1],
        heads=run.heads,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(run.seed)
        projector = Projector(config)
    made = ChatModel(llm, tokenizer, projector, system=run.system, encoder_digest=encoder.digest)
    return Start(made.to(place.device), _lasting(base), encoder, _lasting(encoder_name))


def _aligned(run: ChatRun, options: Options, chat: ChatOptions, place: Place) -> Start:
    if options.init is None:
        raise ConfigError(f"the run {run.name} goes on with an aligned chat model: give it with --init")
    card = read_chat_card(options.init)
    if has_adapter(options.init):
        raise CheckpointError(
            f"{options.init} has an adapter already, which another would stand beside: give the model that "
            "chat-align wrote"
        )
    encoder_name = chat.encoder or (card.encoder if card else None)
    base = chat.base or (card.base if card else None)
    if encoder_name is None or base is None:
        raise ConfigError(
            f"{options.init} does not say which language model and encoder it was aligned with: give --base "
            "and --encoder"
        )
    encoder = load_encoder(encoder_name)
    if card and card.encoder_digest != encoder.digest:
        raise CheckpointError(
            f"{options.init} was aligned with another encoder than {encoder_name}; give that one: --encoder"
        )
    aligned = load_chat_model(options.init, base=base, dtype=place.dtype)
    new = add_task_tokens(aligned.tokenizer)
    make_room(aligned.llm, len(aligned.tokenizer))
    adapted = add_adapter(
        aligned.llm, rank=run.lora_rank, alpha=run.lora_alpha, new_tokens=new, seed=run.seed
    )
    made = ChatModel(
        adapted,
        aligned.tokenizer,
        aligned.projector.float(),
        system=run.system or aligned.format.system,
        encoder_digest=encoder.digest,
    )
    return Start(made.to(place.device), _lasting(base), encoder, _lasting(encoder_name))


def _lasting(where: Path | str) -> str:
    """A path that another working directory does not change; a name stays one."""
    path = Path(where).expanduser()
    return str(path.absolute()) if path.exists() else str(where)


def _token_width(encoder: Encoder) -> int:
    if encoder.codebook_size:
        return int(encoder.tokens_of_ids(torch.zeros(1, dtype=torch.int64)).shape[-1])
    return int(encoder.volume_tokens(torch.full((1, 1, *encoder.grid.shape), -1.0)).shape[-1])


def _keep(made: Sequence[Conversation], kept: VolumeTokens, start: Start, place: Place) -> None:
    """Encode on the place's device what has no tokens yet; workers read ahead with the encoder on the CPU."""
    if place.device.type != "cpu":
        kept = VolumeTokens(kept.folder, load_encoder(start.encoder_name, str(place.device)))
    keep_tokens(made, kept, place)


def _examples(
    made: Sequence[Conversation], start: Start, kept: VolumeTokens, run: ChatRun
) -> ConversationExamples:
    return ConversationExamples(made, kept, start.chat.format, run.longest)


def _held_out(
    run: ChatRun,
    options: Options,
    start: Start,
    kept: VolumeTokens,
    collation: ChatCollation,
    place: Place,
) -> HeldOutChat | None:
    if options.held_out is None:
        return None
    source = open_training_source(options.held_out, options.source)
    # a patient's other volumes are as a rule the same scan: no stand-in for another's
    unseen = _made(run, read_examples(source, sections=run.sections, one_per_patient=True))
    _keep(unseen, kept, start, place)
    return HeldOutChat(_examples(unseen, start, kept, run), collation, place)


def _write(out: Path, start: Start, run: ChatRun, tensors: dict[str, torch.Tensor], source: str) -> None:
    card = ChatCard(
        base=start.base,
        encoder=start.encoder_name,
        encoder_digest=start.encoder.digest,
        heads=start.chat.projector.config.heads,
        system=start.chat.format.system,
        source=source,
    )
    of_projector = {n.removeprefix(PROJECTOR): t for n, t in tensors.items() if n.startswith(PROJECTOR)}
    with draft_beside(out.absolute()) as draft:
        write_chat_files(draft, card, start.chat.projector, of_projector)
        if run.stage == "instruct":
            adapted: PeftModel = start.chat.llm  # type: ignore[assignment]
            own = {n.removeprefix(LLM): t for n, t in tensors.items() if n.startswith(LLM)}
            write_adapter(adapted, draft, own, base=start.base)
            start.chat.tokenizer.save_pretrained(draft)
        put_in_place(draft, out.absolute())
