"""The projector against published outputs, in every layout it arrives in, and what does not fit it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from chat.projector import Projector, ProjectorConfig, load_projector
from encoders.errors import CheckpointError, ConfigError
from tests.shared import shared_file

SMALL = ProjectorConfig(context_dim=6, width=8, queries=3, llm_dim=10, heads=2)
PEFT = "base_model.model.model.mm_projector."


def weights(config: ProjectorConfig = SMALL) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(tensor.shape) for name, tensor in Projector(config).state_dict().items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def test_the_published_projector_gives_what_the_published_code_gives() -> None:
    folder = shared_file("golden/ctchat_projector")
    heads = json.loads((folder / "config.json").read_text())["heads"]
    expected = load_file(folder / "expected.safetensors")
    projector = load_projector(folder / "projector.safetensors", heads=heads)
    with torch.no_grad():
        rows = projector(expected["encoder_tokens"])
    torch.testing.assert_close(rows, expected["image_tokens"], atol=1e-5, rtol=0)


def test_the_pool_is_softmax_attention_of_normed_queries_over_normed_tokens() -> None:
    torch.manual_seed(1)
    projector = Projector(SMALL)
    pool = projector.attn_pool
    tokens = torch.randn(2, 5, 6)
    normed = (tokens - tokens.mean(-1, keepdim=True)) / (
        tokens.var(-1, correction=0, keepdim=True) + 1e-5
    ).sqrt()
    query = pool.ln_q(pool.query) @ pool.to_q.weight.T
    keys, values = normed @ pool.to_kv.weight[:8].T, normed @ pool.to_kv.weight[8:].T
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weight = (query[:, head] @ keys[..., head].transpose(1, 2) / 4**0.5).softmax(-1)
        heads.append(weight @ values[..., head])
    expected = torch.cat(heads, -1) @ pool.to_out.weight.T
    torch.testing.assert_close(pool(tokens), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "prefix", "beside"),
    [
        ("projector.safetensors", "", []),
        ("projector.pt", "module.", []),
        ("mm_projector.bin", "model.mm_projector.", []),
        ("mm_projector.bin", "mm_projector.", ["model.embed_tokens.weight"]),
        ("non_lora_trainables.bin", PEFT, ["base_model.model.lm_head.weight"]),
        ("model-00004-of-00004.safetensors", "model.mm_projector.", ["model.layers.0.mlp.up_proj.weight"]),
    ],
)
def test_a_projector_is_found_in_every_file_it_arrives_in(
    tmp_path: Path, name: str, prefix: str, beside: list[str]
) -> None:
    tensors = under(prefix, weights()) | {key: torch.ones(4, 4) for key in beside}
    path = tmp_path / name
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    projector = load_projector(path, heads=2)
    assert projector.config == SMALL
    for key, tensor in projector.state_dict().items():
        assert torch.equal(tensor, weights()[key])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("ln.bias"), r"'ln\.bias' is missing"),
        (lambda t: t.pop("attn_pool.query"), r"'attn_pool\.query' is missing"),
        (lambda t: t.update({"proj.4.weight": torch.ones(10, 10)}), r"'proj\.4\.weight' is left over"),
        (
            lambda t: t.update({"attn_pool.to_q.weight": torch.ones(8, 7)}),
            r"'attn_pool\.to_q\.weight' has the shape \(8, 7\).*\(8, 8\)",
        ),
        (lambda t: t.update({"attn_pool.query": torch.ones(8)}), "two axes"),
        (lambda t: t["ln.weight"].fill_(float("nan")), "not finite"),
        (lambda t: t.update({"ln.weight": torch.ones(8, dtype=torch.int64)}), "floating-point"),
    ],
)
def test_a_key_that_is_missing_left_over_or_wrong_is_named_in_one_sentence(
    tmp_path: Path, change, message: str
) -> None:
    tensors = weights()
    change(tensors)
    torch.save(under(PEFT, tensors), tmp_path / "non_lora_trainables.bin")
    with pytest.raises(CheckpointError, match=message):
        load_projector(tmp_path / "non_lora_trainables.bin", heads=2)


def test_keys_of_another_module_and_a_second_projector_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "non_lora_trainables.bin"
    torch.save(under(PEFT, weights()) | {"model.vision_tower.patch.weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match=r"'model\.vision_tower\.patch\.weight' is left over"):
        load_projector(path)
    torch.save(under(PEFT, weights()) | weights(), path)
    with pytest.raises(CheckpointError, match="two projectors"):
        load_projector(path)


def test_heads_that_do_not_divide_the_width_and_tokens_of_another_width_are_refused(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "p.safetensors")
    with pytest.raises(ConfigError, match="8 cannot be divided among 3 heads"):
        load_projector(tmp_path / "p.safetensors", heads=3)
    projector = load_projector(tmp_path / "p.safetensors", heads=2)
    with pytest.raises(ConfigError, match=r"tokens \(volumes, tokens, 6\), found \(1, 4, 7\)"):
        projector(torch.ones(1, 4, 7))
