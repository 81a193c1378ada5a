"""LoRA beside the towers' matrices: nothing at first, merged in the end, and alone in what it trains."""

from pathlib import Path

import pytest
import torch

from encoders.ct_clip import CtClip
from encoders.encoder import build_model
from encoders.model_directory import read_model
from tests.tiny_model import write_tiny_model
from training.lora import ADAPTER, add_lora, merge_lora

VOLUME = torch.rand(2, 1, 16, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
IDS = torch.tensor([[2, 7, 8, 3], [2, 9, 3, 0]])
MASK = (IDS > 0).long()


@pytest.fixture
def model(tmp_path: Path) -> CtClip:
    return build_model(read_model(write_tiny_model(tmp_path / "tiny"))).eval()


@torch.no_grad()
def answers(model: CtClip) -> tuple[torch.Tensor, torch.Tensor]:
    volume, report, _ = model(VOLUME, IDS, MASK)
    return volume, report


def test_fresh_adapters_change_nothing_and_merged_ones_answer_as_before_the_merge(model: CtClip) -> None:
    before, names = answers(model), set(model.state_dict())
    adapted = add_lora(model, rank=4, alpha=8)
    model.eval()
    assert all(torch.equal(a, b) for a, b in zip(answers(model), before, strict=True))
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if f"{ADAPTER}B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    unmerged = answers(model)
    assert all((a - b).abs().max() > 0.01 for a, b in zip(unmerged, before, strict=True))
    merge_lora(adapted)
    assert set(model.state_dict()) == names
    for a, b in zip(answers(model), unmerged, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_both_towers_get_adapters_and_only_these_and_the_projections_learn(model: CtClip) -> None:
    add_lora(model, rank=2, alpha=4)
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name for name in learning if ADAPTER not in name} == {
        "log_temperature",
        "volume_projection.weight",
        "report_projection.weight",
    }
    layers = len(model.volume_tower.spatial.layers) + len(model.volume_tower.temporal.layers)
    adapted = {name.partition(f".{ADAPTER}")[0] for name in learning if ADAPTER in name}
    assert sum(name.startswith("volume_tower.") for name in adapted) == 5 * layers
    assert sum(name.startswith("report_tower.") for name in adapted) == 6 * len(
        model.report_tower.bert.encoder.layer
    )
