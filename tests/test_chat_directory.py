"""Chat models on disk: LLaVA's layout as it is published, ours, and every part that may be wrong."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from chat.adapter import add_adapter, write_adapter
from chat.chat_format import Turn, add_task_tokens
from chat.directory import ChatCard, load_chat_model, read_chat_card, write_chat_files
from chat.language_model import load_language_model, load_tokenizer
from chat.model import ChatModel, batch_of, make_room
from encoders.errors import CheckpointError, ConfigError
from tests.small_chat import (
    WIDTH,
    small_chat,
    small_llm,
    small_projector,
    small_tokenizer,
    volume,
    write_llm,
)

PEFT = "base_model.model.model.mm_projector."
EMBEDDING = "base_model.model.model.embed_tokens.weight"
LAYER_9 = "base_model.model.model.layers.9.mlp.up_proj.weight"
MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TASKS = ("<long_answer>", "<short_answe>", "<multiple_choice>", "<report_generation>")


def logits(model: ChatModel) -> torch.Tensor:
    chat = model.format.tokenise([Turn("<image>what?", "a nodule")])
    with torch.no_grad():
        return model.logits(batch_of([chat], [volume(0)], WIDTH))


def published(tmp_path: Path) -> tuple[Path, ChatModel]:
    """LLaVA's layout: a base, an adapter, projector and embeddings trained whole; and what it must answer."""
    write_llm(tmp_path / "base")
    torch.manual_seed(3)
    llm = small_llm()
    llm.resize_token_embeddings(268)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=MATRICES, task_type="CAUSAL_LM")
    adapted = get_peft_model(llm, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    folder = tmp_path / "published"
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "config.json").write_text(json.dumps({"model_type": "llava_llama"}))
    small_tokenizer(*TASKS).save_pretrained(folder)
    projector = small_projector()
    trained = {PEFT + name: tensor for name, tensor in projector.state_dict().items()}
    trained[EMBEDDING] = llm.get_input_embeddings().weight.detach().clone()
    trained["base_model.model.lm_head.weight"] = llm.lm_head.weight.detach().clone()
    torch.save(trained, folder / "non_lora_trainables.bin")
    return folder, ChatModel(adapted.eval(), small_tokenizer(*TASKS), projector)


def test_the_published_layout_answers_as_base_adapter_and_projector_do_together(tmp_path: Path) -> None:
    folder, whole = published(tmp_path)
    loaded = load_chat_model(folder, base=tmp_path / "base", heads=2)
    torch.testing.assert_close(logits(loaded), logits(whole), atol=1e-4, rtol=1e-4)
    assert loaded.format.task_token("short_answer") == "<short_answe>"
    assert not any("lora" in name for name in loaded.state_dict())
    halved = load_chat_model(folder, base=tmp_path / "base", heads=2, dtype=torch.bfloat16)
    assert {weight.dtype for weight in halved.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(logits(halved).float(), logits(whole), atol=0.5, rtol=0)


def test_the_adapter_may_be_a_pickle_and_the_projector_a_file_of_its_own(tmp_path: Path) -> None:
    folder, whole = published(tmp_path)
    adapter = load_file(folder / "adapter_model.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    trained = torch.load(folder / "non_lora_trainables.bin")
    torch.save({k: v for k, v in trained.items() if k.startswith(PEFT)}, folder / "mm_projector.bin")
    rest = {k: v for k, v in trained.items() if not k.startswith(PEFT)}
    torch.save(adapter | rest, folder / "adapter_model.bin")  # where peft puts embeddings it was told to keep
    (folder / "non_lora_trainables.bin").unlink()
    loaded = load_chat_model(folder, base=tmp_path / "base", heads=2)
    torch.testing.assert_close(logits(loaded), logits(whole), atol=1e-4, rtol=1e-4)


def test_a_merged_model_has_its_projector_among_its_weights(tmp_path: Path) -> None:
    whole = small_chat()
    folder = write_llm(tmp_path / "merged", whole.llm)
    weights = load_file(folder / "model.safetensors")
    weights |= {f"model.mm_projector.{name}": w for name, w in whole.projector.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "model_type": "llava_llama"}))
    torch.testing.assert_close(logits(load_chat_model(folder, heads=2)), logits(whole))


@pytest.mark.parametrize("tied", [False, True])
def test_our_layout_keeps_adapter_rows_of_new_tokens_and_what_no_file_tells(
    tmp_path: Path, tied: bool
) -> None:
    base = write_llm(tmp_path / "base", small_llm(rows=259, tie_word_embeddings=tied))
    tokenizer, llm = load_tokenizer(base), load_language_model(base)
    new = add_task_tokens(tokenizer)
    make_room(llm, len(tokenizer))
    adapted = add_adapter(llm, rank=4, alpha=8, new_tokens=new, seed=1)
    torch.manual_seed(2)
    for name, weight in adapted.named_parameters():
        if weight.requires_grad and ("lora_B" in name or "token" in name):
            torch.nn.init.normal_(weight, std=0.3)
    whole = ChatModel(adapted.eval(), tokenizer, small_projector())
    folder = tmp_path / "ours"
    folder.mkdir()
    card = ChatCard(base=str(base), encoder="tiny", encoder_digest="ab", heads=2, system="s", source="test")
    write_chat_files(folder, card, whole.projector, whole.projector.state_dict())
    write_adapter(adapted, folder, base=str(base))
    tokenizer.save_pretrained(folder)
    loaded = load_chat_model(folder)
    assert read_chat_card(folder) == card
    assert (loaded.format.system, loaded.encoder_digest) == ("s", "ab")
    loaded.format.system = ""
    chat = loaded.format.tokenise([Turn("<image>what?<short_answer>", "a nodule")])
    assert new[1] in chat.ids_T
    batch = batch_of([chat], [volume(0)], WIDTH)
    torch.testing.assert_close(loaded.logits(batch), whole.logits(batch), atol=1e-4, rtol=1e-4)


def test_a_fresh_adapter_changes_nothing_and_the_new_rows_alone_of_the_embeddings_learn() -> None:
    llm, tokenizer = small_llm(), small_tokenizer()
    new = add_task_tokens(tokenizer)
    before = logits(ChatModel(small_llm(), small_tokenizer(), small_projector()))
    adapted = add_adapter(llm, rank=4, alpha=8, new_tokens=new)
    model = ChatModel(adapted, tokenizer, small_projector())
    torch.testing.assert_close(logits(model)[..., : before.shape[-1]], before)
    learning = {name: w.shape for name, w in adapted.named_parameters() if w.requires_grad}
    assert {name.split(".")[-2 if "lora" not in name else -3] for name in learning} >= {"lora_A", "lora_B"}
    (rows,) = [shape for name, shape in learning.items() if "trainable_tokens" in name]
    assert rows == (4, 16)
    halved = add_adapter(small_llm().to(torch.bfloat16), rank=4, alpha=8, new_tokens=new)
    assert {w.dtype for w in halved.parameters() if w.requires_grad} == {torch.float32}


def _drop(tensors: dict, kept) -> None:
    for name in [name for name in tensors if not kept(name)]:
        del tensors[name]


def _other_projector(trained: dict) -> None:
    trained.update({PEFT + name: tensor for name, tensor in small_projector(20).state_dict().items()})


def _renamed(adapter: dict) -> None:
    whole = {name.replace("layers.1", "layers.7"): tensor for name, tensor in adapter.items()}
    adapter.clear()
    adapter.update(whole)


def _cut(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


DAMAGE = {  # of what was trained whole, of the adapter, of the base model
    "projector of another model": (_other_projector, None, None),
    "embedding of another model": (lambda t: t.update({EMBEDDING: torch.ones(268, 20)}), None, None),
    "a key of nobody": (lambda t: t.update({LAYER_9: torch.ones(1)}), None, None),
    "half an adapter": (None, lambda a: a.pop(min(a)), None),
    "another adapter": (None, _renamed, None),
    "no projector": (lambda t: _drop(t, lambda name: PEFT not in name), None, None),
    "rows missing": (lambda t: _drop(t, lambda name: PEFT in name), None, None),
    "base cut": (None, None, _cut),
    "base torn": (None, None, lambda base: (base / "model.safetensors").write_bytes(bytes(100))),
    "base empty": (None, None, lambda base: [path.unlink() for path in base.iterdir()]),
}


def damage(folder: Path, base: Path, what: str) -> None:
    of_trained, of_adapter, of_base = DAMAGE[what]
    trained = torch.load(folder / "non_lora_trainables.bin")
    adapter = load_file(folder / "adapter_model.safetensors")
    for change, thing in ((of_trained, trained), (of_adapter, adapter), (of_base, base)):
        if change is not None:
            change(thing)
    if what == "rows missing":
        small_tokenizer(*TASKS, "<a>", "<b>", "<c>").save_pretrained(folder)
    torch.save(trained, folder / "non_lora_trainables.bin")
    save_file(adapter, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("projector of another model", "rows of 20 and the language model reads rows of 16"),
        ("embedding of another model", r"'model.embed_tokens.weight' has the shape \(268, 20\).*\(268, 16\)"),
        ("a key of nobody", r"layers\.9\.mlp\.up_proj\.weight' has the shape \(1,\).*asks for nothing"),
        ("half an adapter", "adapter's key .*lora_A.weight' has the shape of nothing"),
        ("another adapter", r"adapter's key .*layers\.1\..*of nothing"),
        ("no projector", "holds no projector"),
        ("rows missing", "the tokeniser has 266 tokens and the language model embeddings for 264"),
        ("base cut", "key model.norm.weight is missing"),
        ("base torn", "cannot be read as a language model"),
        ("base empty", r"holds no config\.json"),
    ],
)
def test_a_part_that_is_missing_or_does_not_fit_is_named_in_one_sentence(
    tmp_path: Path, what: str, message: str
) -> None:
    folder, _ = published(tmp_path)
    damage(folder, tmp_path / "base", what)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_chat_model(folder, base=tmp_path / "base", heads=2)
    assert "\n" not in str(refused.value)


def test_what_is_not_there_and_what_does_not_say_its_base_is_refused(tmp_path: Path) -> None:
    folder, _ = published(tmp_path)
    with pytest.raises(CheckpointError, match="--base"):
        load_chat_model(folder)
    with pytest.raises(CheckpointError, match="there is no chat model"):
        load_chat_model(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="there is no language model"):
        load_chat_model(folder, base="meta-llama/Llama-3.1-8B-Instruct")
    assert load_language_model(tmp_path / "base", device="auto").device.type in ("cpu", "cuda")
    with pytest.raises(ConfigError, match="the device 'cuda:7' cannot be used"):
        load_language_model(tmp_path / "base", device="cuda:7")
    (folder / "chat.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"chat\.json is damaged"):
        load_chat_model(folder)
