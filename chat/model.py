"""CT-CHAT (arXiv 2403.17834): a projector, and a causal language model that reads volumes at each `<image>`.

Shapes: B conversations, T positions, K volumes of all conversations in their order, N tokens of a volume, C
their width, Q rows that a volume becomes, M width of the language model, V its vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from chat.chat_format import NO_LABEL, ChatFormat, TokenisedChat, Turn
from chat.decoding import greedy_ids, keeps_some_logits, pieces_of
from chat.projector import Projector
from encoders.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatBatch:
    """Conversations side by side, padded at their ends.

    Attributes:
        ids_BT: token ids.
        labels_BT: the id where it is learnt from, else -100.
        image_BT: True where a row of a volume stands.
        mask_BT: 1 for a position of the conversation, 0 for padding.
        tokens_KNC: the volumes, conversation after conversation.
        volumes_B: how many each conversation has.
    """

    ids_BT: Tensor
    labels_BT: Tensor
    image_BT: Tensor
    mask_BT: Tensor
    tokens_KNC: Tensor
    volumes_B: Tensor

    def __len__(self) -> int:
        return len(self.ids_BT)

    def part(self, rows: slice, device: torch.device) -> "ChatBatch":
        """Some of the conversations, on a device, without padding that none of them needs."""
        first = int(self.volumes_B[: rows.start].sum())
        volumes = slice(first, first + int(self.volumes_B[rows].sum()))
        longest = int(self.mask_BT[rows].sum(1).max())
        parts = {
            f.name: getattr(self, f.name)[rows, :longest] for f in fields(self) if f.name.endswith("_BT")
        }
        parts |= {"tokens_KNC": self.tokens_KNC[volumes], "volumes_B": self.volumes_B[rows]}
        return ChatBatch(**{name: tensor.to(device, non_blocking=True) for name, tensor in parts.items()})


def batch_of(chats: Sequence[TokenisedChat], volume_tokens: Sequence[Tensor], width: int) -> ChatBatch:
    """Put conversations into one batch.

    Args:
        chats: at least one, none of them empty.
        volume_tokens: of all volumes, conversation after conversation; each (N, C) with one N.
        width: C, where there is no volume.
    """
    lengths = [len(chat) for chat in chats]
    mask = [torch.ones(length, dtype=torch.int64) for length in lengths]
    return ChatBatch(
        ids_BT=pad_sequence([chat.ids_T for chat in chats], batch_first=True),
        labels_BT=pad_sequence([c.labels_T for c in chats], batch_first=True, padding_value=NO_LABEL),
        image_BT=pad_sequence([chat.image_T for chat in chats], batch_first=True),
        mask_BT=pad_sequence(mask, batch_first=True),
        tokens_KNC=torch.stack(list(volume_tokens)) if volume_tokens else torch.zeros(0, 1, width),
        volumes_B=torch.tensor([chat.volumes for chat in chats]),
    )


class ChatModel(nn.Module):
    """A projector, a language model and how a conversation is written for it.

    Attributes:
        encoder: name or directory of the encoder whose tokens the projector was trained on.
        encoder_digest: of it; both are empty where nobody says.
    """

    def __init__(
        self,
        llm: "PreTrainedModel | nn.Module",
        tokenizer: "PreTrainedTokenizerBase",
        projector: Projector,
        *,
        system: str = "",
        name: str = "ct-chat",
        encoder: str = "",
        encoder_digest: str = "",
    ) -> None:
        """Join them.

        Raises:
            CheckpointError: the projector does not fit the language model, or the tokeniser is another's.
        """
        super().__init__()
        check_fit(llm, tokenizer, projector)
        self.llm, self.projector, self.tokenizer = llm, projector, tokenizer
        self.format = ChatFormat(tokenizer, projector.config.queries, system)
        self.name, self.encoder, self.encoder_digest = name, encoder, encoder_digest

    @property
    def device(self) -> torch.device:
        """Where embeddings are looked up."""
        return embedding_of(self.llm).weight.device

    def logits(self, batch: ChatBatch, positions_P: Tensor | None = None) -> Tensor:
        """Return what the language model says at each position, (B, T, V), or at some, (B, P, V)."""
        some_only: dict[str, Any] = {}
        if positions_P is not None and keeps_some_logits(self.llm):
            some_only["logits_to_keep"] = (
                positions_P  # else a vocabulary of numbers for each word of a question
            )
        logits: Tensor = self.llm(
            inputs_embeds=self.embedded(batch), attention_mask=batch.mask_BT, use_cache=False, **some_only
        ).logits
        return logits if some_only or positions_P is None else logits[:, positions_P]

    def embedded(self, batch: ChatBatch) -> Tensor:
        """Return words and volumes as the language model reads them, (B, T, M).

        Raises:
            ConfigError: there are more or fewer volumes than places for them.
        """
        embedded_BTM = self._words(batch.ids_BT)
        places, volumes = int(batch.image_BT.sum()), len(batch.tokens_KNC)
        if places != volumes * self.projector.config.queries:
            raise ConfigError(
                f"the conversation has {places // self.projector.config.queries} places for volumes and "
                f"{volumes} volumes; give one volume for each <image>"
            )
        if not volumes:
            return embedded_BTM
        rows_KQM = self.projector(batch.tokens_KNC).to(embedded_BTM)
        return embedded_BTM.masked_scatter(batch.image_BT[..., None], rows_KQM)

    def stream(
        self, turns: Sequence[Turn], volume_tokens: Sequence[Tensor] = (), *, limit: int = 512
    ) -> Iterator[str]:
        """Yield the answer to the last turn in pieces, the likeliest token each time.

        Args:
            turns: the last has no answer yet; each `<image>` in them is one of the volumes, in their order.
            volume_tokens: each (N, C).
            limit: most tokens of the answer.

        Raises:
            ConfigError: volumes and `<image>` are not as many, or the conversation is longer than the model
                reads.
        """
        chat = self.format.tokenise(turns)
        if chat.volumes != len(volume_tokens):
            raise ConfigError(
                f"the conversation names {chat.volumes} volumes and {len(volume_tokens)} were given; give "
                "one for each <image>"
            )
        self._check_length(len(chat), limit)
        ids = greedy_ids(self.llm, self._asked(chat, volume_tokens), stop=self._stop_ids(), limit=limit)
        return pieces_of(ids, self.tokenizer)

    @torch.no_grad()
    def _asked(self, chat: TokenisedChat, volume_tokens: Sequence[Tensor]) -> Tensor:
        """The embedded question; volumes are projected one by one: their tokens may differ in number."""
        words_1TM = self._words(chat.ids_T[None].to(self.device))
        home = self.projector.ln.weight.device
        rows = [self.projector(tokens[None].to(home))[0].to(words_1TM) for tokens in volume_tokens]
        if not rows:
            return words_1TM
        return words_1TM.masked_scatter(chat.image_T[None, :, None].to(self.device), torch.cat(rows))

    def _words(self, ids_BT: Tensor) -> Tensor:
        words_BTM: Tensor = self.llm.get_input_embeddings()(ids_BT)  # type: ignore[operator]
        return words_BTM

    def _stop_ids(self) -> frozenset[int]:
        named = getattr(getattr(self.llm, "generation_config", None), "eos_token_id", None)
        ends = named if isinstance(named, list) else [named, self.tokenizer.eos_token_id]
        return frozenset(int(end) for end in ends if end is not None)

    def _check_length(self, length: int, limit: int) -> None:
        longest = getattr(self.llm.config, "max_position_embeddings", None)
        if isinstance(longest, int) and length + limit > longest:
            raise ConfigError(
                f"the conversation has {length} tokens and its answer may have {limit}, where the model "
                f"reads {longest}; ask with fewer cases or volumes"
            )


def embedding_of(llm: nn.Module) -> nn.Embedding:
    """The table of a language model's words; the one that learns, where a few rows of it do."""
    table: nn.Module = llm.get_input_embeddings()  # type: ignore[operator]
    return next(part for part in table.modules() if isinstance(part, nn.Embedding))


@torch.no_grad()
def make_room(llm: nn.Module, words: int) -> None:
    """Give a language model embeddings for words that were added to its tokeniser.

    A new row is the mean of the old ones, on both sides, so that it is the same wherever the model is loaded
    and no answer ever prefers it.

    Args:
        llm: changed in place, if it has fewer.
        words: how many it needs.
    """
    before = len(embedding_of(llm).weight)
    if words <= before:
        return
    llm.resize_token_embeddings(words, mean_resizing=False)  # type: ignore[operator]
    for table in (llm.get_input_embeddings(), llm.get_output_embeddings()):  # type: ignore[operator]
        if table is not None:
            table.weight[before:] = table.weight[:before].float().mean(0).to(table.weight.dtype)


def check_fit(llm: nn.Module, tokenizer: "PreTrainedTokenizerBase", projector: Projector) -> None:
    """Refuse parts of different models.

    Raises:
        CheckpointError: widths differ, or the tokeniser has words that the model has no embedding for.
    """
    rows, width = embedding_of(llm).weight.shape
    if projector.config.llm_dim != width:
        raise CheckpointError(
            f"the projector gives rows of {projector.config.llm_dim} and the language model reads rows of "
            f"{width}: give the projector that was trained with this language model"
        )
    if len(tokenizer) > rows:
        raise CheckpointError(
            f"the tokeniser has {len(tokenizer)} tokens and the language model embeddings for {rows}: give "
            "the tokeniser and the weights of one model"
        )
