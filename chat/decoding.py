"""An answer, token by token: the likeliest each time, with what the model has read kept in a cache."""

import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_UNFINISHED = "\ufffd"  # what a decoder writes for the first bytes of a letter


@torch.no_grad()
def greedy_ids(llm: nn.Module, embedded_1TM: Tensor, *, stop: frozenset[int], limit: int) -> Iterator[int]:
    """Yield token ids until one of `stop`, which is not yielded, or until there are `limit`.

    The prompt is read once: every further step reads one token, beside cached keys and values.

    Args:
        llm: a causal language model of transformers.
        embedded_1TM: the prompt.
        stop: ids that end an answer.
        limit: most ids.
    """
    last_only: dict[str, Any] = {"logits_to_keep": 1} if keeps_some_logits(llm) else {}
    given: dict[str, Any] = {"inputs_embeds": embedded_1TM}
    length, cache = embedded_1TM.shape[1], None
    for _ in range(limit):
        mask = torch.ones(1, length, dtype=torch.int64, device=embedded_1TM.device)
        said = llm(**given, **last_only, attention_mask=mask, past_key_values=cache, use_cache=True)
        chosen = said.logits[0, -1].argmax()
        if int(chosen) in stop:
            return
        yield int(chosen)
        given = {"input_ids": chosen.view(1, 1).to(embedded_1TM.device)}
        length, cache = length + 1, said.past_key_values


def keeps_some_logits(llm: nn.Module) -> bool:
    """Whether a language model can be asked for the logits of some positions alone, adapter or not."""
    base = llm.get_base_model() if hasattr(llm, "get_base_model") else llm  # type: ignore[operator]
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def pieces_of(ids: Iterable[int], tokenizer: "PreTrainedTokenizerBase") -> Iterator[str]:
    """Yield the text of ids as it grows; a letter of several tokens comes whole."""
    seen: list[int] = []
    written = ""
    for token in ids:
        seen.append(token)
        text = _text(seen, tokenizer)
        if text.endswith(_UNFINISHED) or not text.startswith(written):
            continue
        if len(text) > len(written):
            yield text[len(written) :]
        written = text
    if rest := _text(seen, tokenizer)[len(written) :]:
        yield rest


def _text(ids: list[int], tokenizer: "PreTrainedTokenizerBase") -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
