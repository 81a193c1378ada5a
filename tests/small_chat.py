"""A language model of a few thousand random weights that reads letters, and a chat model around it."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from chat.model import ChatModel
from chat.projector import Projector, ProjectorConfig

WIDTH, QUERIES = 6, 3
_TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def small_tokenizer(*more: str) -> PreTrainedTokenizerFast:
    """Bytes, the three tokens of its template, and what is asked for."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = _TEMPLATE
    tokenizer.add_tokens(list(more), special_tokens=True)
    return tokenizer


def small_llm(rows: int = 264, seed: int = 0, **changes) -> LlamaForCausalLM:
    """Random weights, large enough that what is read matters."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        **{
            "vocab_size": rows,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 1024,
            "initializer_range": 0.3,
            "bos_token_id": 256,
            "eos_token_id": 257,
            "pad_token_id": 258,
            **changes,
        }
    )
    llm: LlamaForCausalLM = LlamaForCausalLM(config)
    llm.eval()
    return llm


def small_projector(llm_dim: int = 16, seed: int = 0) -> Projector:
    torch.manual_seed(seed)
    config = ProjectorConfig(context_dim=WIDTH, width=8, queries=QUERIES, llm_dim=llm_dim, heads=2)
    return Projector(config).eval()


def small_chat(**of_llm) -> ChatModel:
    return ChatModel(small_llm(**of_llm), small_tokenizer(), small_projector())


def write_llm(folder: Path, llm: LlamaForCausalLM | None = None, *tokens: str) -> Path:
    """A language model's directory with its tokeniser, as transformers writes them."""
    (llm or small_llm()).save_pretrained(folder)
    small_tokenizer(*tokens).save_pretrained(folder)
    return folder


def volume(seed: int, tokens: int = 5) -> torch.Tensor:
    """Tokens of a volume."""
    return torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(seed))
