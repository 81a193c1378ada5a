"""A conversation about volumes as a language model reads it: its template's text, rows of volumes between.

Each `<image>` in a question is a place where the Q rows of one volume stand. What is asked for is said by
a task token, a word of the tokeniser's own. Text that comes from elsewhere loses everything that the
tokeniser would read as more than text, so a report cannot end a turn, begin another or name a volume.

Shapes: T positions of a conversation, Q rows of a volume.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jinja2.exceptions import TemplateError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from chat.backends import Mode
from encoders.errors import CheckpointError, ConfigError

IMAGE = "<image>"
NO_LABEL = -100  # what cross-entropy leaves out
TASK_TOKENS: dict[Mode, str] = {
    "long_answer": "<long_answer>",
    "short_answer": "<short_answer>",
    "multiple_choice": "<multiple_choice>",
    "report_generation": "<report_generation>",
}
_MISSPELT: dict[Mode, str] = {"short_answer": "<short_answe>"}  # in the published file of constants
_VICUNA = (  # of tokenisers that bring no template: Vicuna's, as LLaVA writes it
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + ' ' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, which may hold `<image>` and a task token, and its answer; None: it is asked now."""

    question: str
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenisedChat:
    """One conversation.

    Attributes:
        ids_T: token ids, int64; 0 where a row of a volume stands.
        labels_T: the id where the answer is learnt from, its end included, else -100.
        image_T: True where a row of a volume stands.
        volumes: how many there are.
    """

    ids_T: Tensor
    labels_T: Tensor
    image_T: Tensor
    volumes: int

    def __len__(self) -> int:
        return len(self.ids_T)


class ChatFormat:
    """Turns conversations into token ids, for one tokeniser and one number of rows a volume."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, queries: int, system: str = "") -> None:
        """Say how.

        Args:
            tokenizer: of the language model; it gets Vicuna's template if it has none.
            queries: rows that a volume has.
            system: what the model is told before the first question.
        """
        self.tokenizer, self.queries, self.system = tokenizer, queries, system
        if not tokenizer.chat_template:
            tokenizer.chat_template = _VICUNA
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        tasks = {*TASK_TOKENS.values(), *_MISSPELT.values()}
        self._tasks = _pattern(tasks)
        self._more_than_text = _pattern({IMAGE, *tasks, *special})
        self._of_the_template = _pattern(special - tasks - {IMAGE})

    def task_token(self, mode: Mode) -> str:
        """Return the token that asks for a kind of answer; empty where the model was trained with none.

        Raises:
            CheckpointError: the tokeniser has the others and lacks this one.
        """
        found = task_token_of(self.tokenizer, mode)
        if found:
            return found
        others = [TASK_TOKENS[other] for other in TASK_TOKENS if task_token_of(self.tokenizer, other)]
        if others:
            raise CheckpointError(
                f"the tokeniser has {', '.join(others)} and no {TASK_TOKENS[mode]}: give the tokeniser that "
                "the model was trained with"
            )
        return ""

    def question(self, text: str, mode: Mode, volumes: int = 0) -> str:
        """Return a question as it was trained: the volumes, what is asked, and the task token.

        Args:
            text: as a person or a report wrote it.
            mode: what kind of answer is asked for.
            volumes: that the question shows.
        """
        shown = f"{IMAGE}\n" * volumes
        return f"{shown}{self.plain(text)}{self.task_token(mode)}"

    def plain(self, text: str) -> str:
        """Return a text without anything that the tokeniser would read as more than text."""
        return _removed(self._more_than_text, text)

    def trained_question(self, text: str) -> str:
        """Return a question of training data: `<image>` stays, task tokens become the tokeniser's own."""
        own = {}
        for mode, token in TASK_TOKENS.items():
            own[token] = own[_MISSPELT.get(mode, token)] = task_token_of(self.tokenizer, mode)
        text = _removed(self._of_the_template, text)
        return self._tasks.sub(lambda found: own[found.group()], text)

    def tokenise(self, turns: Sequence[Turn]) -> TokenisedChat:
        """Return the ids of a conversation, with the places of its volumes.

        Raises:
            ConfigError: the tokeniser's template does not write a conversation turn after turn.
        """
        ids: list[int] = []
        labels: list[int] = []
        image: list[bool] = []
        for text, is_answer in self._segments(turns):
            for part, is_volume in _parts(text):
                if is_volume:
                    found, learnt = [0] * self.queries, [NO_LABEL] * self.queries
                else:
                    found = self.tokenizer(part, add_special_tokens=False)["input_ids"]
                    learnt = self._learnt(found) if is_answer else [NO_LABEL] * len(found)
                ids += found
                labels += learnt
                image += [is_volume] * len(found)
        return TokenisedChat(
            ids_T=torch.tensor(ids, dtype=torch.int64),
            labels_T=torch.tensor(labels, dtype=torch.int64),
            image_T=torch.tensor(image, dtype=torch.bool),
            volumes=sum(image) // self.queries,
        )

    def _learnt(self, ids: list[int]) -> list[int]:
        """An answer's labels: up to its end token, not what the template writes after it."""
        end = self.tokenizer.eos_token_id
        length = len(ids) - ids[::-1].index(end) if end in ids else len(ids)
        return ids[:length] + [NO_LABEL] * (len(ids) - length)

    def _segments(self, turns: Sequence[Turn]) -> Iterator[tuple[str, bool]]:
        """Pieces of the text that the template writes, and which of them are answers."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        written = ""
        for turn in turns:
            messages.append({"role": "user", "content": turn.question})
            asked = self._written(messages, written, prompt=True)
            yield asked.removeprefix(written), False
            if turn.answer is None:
                return
            messages.append({"role": "assistant", "content": self.plain(turn.answer)})
            written = self._written(messages, asked, prompt=False)
            yield written.removeprefix(asked), True

    def _written(self, messages: list[dict[str, str]], before: str, *, prompt: bool) -> str:
        try:
            text = str(
                self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
            )
        except TemplateError as error:
            raise ConfigError(f"the tokeniser's chat template refuses the conversation: {error}") from error
        if not text.startswith(before):
            raise ConfigError(
                "the tokeniser's chat template rewrites earlier turns, so answers cannot be told from "
                "questions; give a tokeniser whose template does not"
            )
        return text


def task_token_of(tokenizer: PreTrainedTokenizerBase, mode: Mode) -> str:
    """Return the token of a mode as this tokeniser spells it; empty where it has none."""
    known = tokenizer.get_added_vocab()
    spellings = (TASK_TOKENS[mode], _MISSPELT.get(mode, TASK_TOKENS[mode]))
    return next((token for token in spellings if token in known), "")


def add_task_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Give a tokeniser the task tokens that it lacks, and return the ids of all four."""
    missing = [TASK_TOKENS[mode] for mode in TASK_TOKENS if not task_token_of(tokenizer, mode)]
    tokenizer.add_tokens(missing, special_tokens=True)
    known = tokenizer.get_added_vocab()
    return [known[task_token_of(tokenizer, mode)] for mode in TASK_TOKENS]


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """A text cut at its volumes."""
    for place, part in enumerate(text.split(IMAGE)):
        if place:
            yield IMAGE, True
        if part:
            yield part, False


def _pattern(tokens: set[str]) -> re.Pattern[str]:
    longest_first = sorted(
        (token for token in tokens if token.strip()), key=lambda token: (-len(token), token)
    )
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _removed(pattern: re.Pattern[str], text: str) -> str:
    """A text without what a pattern finds, nor what the removal would put together."""
    while pattern.search(text):
        text = pattern.sub(" ", text)
    return text
