"""Conversations with their volumes' tokens, put into batches."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from chat.chat_format import NO_LABEL, ChatFormat, TokenisedChat, Turn
from chat.model import ChatBatch, batch_of
from chat.volume_tokens import VolumeTokens
from encoders.errors import ConfigError, InputError
from training.conversations import Conversation
from training.distributed import Place, wait_for_all

_TOLD_EVERY = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChatItem:
    """One conversation, and the tokens of its volumes, each (N, C)."""

    chat: TokenisedChat
    volume_tokens: tuple[Tensor, ...]


@dataclass(frozen=True)
class ConversationExamples:
    """Conversations as a stream reads them.

    Attributes:
        conversations: what there is.
        tokens: reads their volumes.
        form: writes them for a language model.
        longest: tokens of one; the end of a longer one is not learnt from.
    """

    conversations: Sequence[Conversation]
    tokens: VolumeTokens
    form: ChatFormat
    longest: int

    def __len__(self) -> int:
        return len(self.conversations)

    def name(self, index: int) -> str:
        """The conversation's."""
        return self.conversations[index].name

    def load(self, index: int, epoch: int) -> ChatItem:  # noqa: ARG002 - every epoch is alike
        """One conversation.

        Raises:
            VolumeError: one of its volumes cannot be read.
            ConfigError: nothing of its answers lies within what is learnt from.
        """
        one = self.conversations[index]
        turns = [Turn(self.form.trained_question(turn.question), turn.answer) for turn in one.turns]
        chat = _cut(self.form.tokenise(turns), self.longest)
        if not (chat.labels_T >= 0).any() or int(chat.image_T.sum()) != chat.volumes * self.form.queries:
            raise ConfigError(
                f"the question of {one.name} leaves no room for an answer in {self.longest} tokens"
            )
        return ChatItem(chat, tuple(self.tokens.read(file) for file in one.files))


@dataclass(frozen=True, slots=True)
class ChatCollation:
    """Makes batches of conversations; `width` is that of a volume's tokens."""

    width: int

    def __call__(self, items: Sequence[ChatItem | None]) -> ChatBatch:
        """Put conversations into one batch; in place of one that could not be read nothing is learnt.

        They stand in the order of their lengths, which no loss depends on: so chunks hold less padding.
        """
        whole = sorted(
            (_nothing() if item is None else item for item in items), key=lambda item: len(item.chat)
        )
        volumes = [tokens for item in whole for tokens in item.volume_tokens]
        return batch_of([item.chat for item in whole], volumes, self.width)


def keep_tokens(conversations: Sequence[Conversation], tokens: VolumeTokens, place: Place) -> None:
    """Encode every volume that has no tokens yet, each on one of the processes, before a training reads them.

    A volume that cannot be read is left for the training to count.
    """
    files = list({file.uri: file for one in conversations for file in one.files}.values())
    for number, file in enumerate(files[place.rank :: place.processes]):
        try:
            tokens.read(file)
        except InputError:
            continue
        if place.is_first and (number + 1) % _TOLD_EVERY == 0:
            _log.info("%d of %d volumes have their tokens", (number + 1) * place.processes, len(files))
    wait_for_all(place)


def _cut(chat: TokenisedChat, longest: int) -> TokenisedChat:
    return replace(
        chat,
        ids_T=chat.ids_T[:longest],
        labels_T=chat.labels_T[:longest],
        image_T=chat.image_T[:longest],
    )


def _nothing() -> ChatItem:
    """Two words, of which neither is learnt: a loss needs a word and the next."""
    two = torch.zeros(2, dtype=torch.int64)
    return ChatItem(TokenisedChat(ids_T=two, labels_T=two + NO_LABEL, image_T=two > 0, volumes=0), ())
