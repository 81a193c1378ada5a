"""ClassFine's head: by hand, on disk, and from latents that are stored."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from encoders.checkpoints import Weights
from encoders.class_head import ClassHead
from encoders.config import ClassHeadConfig, CtClipConfig
from encoders.encoder import build_model, load_encoder
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import read_card
from encoders.model_directory import read_model, write_model
from encoders.reports import ReportTokenizer
from tests.tiny_model import write_tiny_model


def with_head(source: Path, directory: Path, seed: int = 0) -> Path:
    """The model with a head of random weights."""
    card = read_card(source)
    weights = read_model(card)
    torch.manual_seed(seed)
    head = ClassHead(weights.config.latent_dim, ClassHeadConfig())
    tensors = weights.tensors | {f"class_head.{name}": of for name, of in head.state_dict().items()}
    config = replace(weights.config, class_head=ClassHeadConfig())
    assert card.tokenizer_file is not None
    write_model(directory, Weights(config, tensors), tokenizer=ReportTokenizer.from_path(card.tokenizer_file))
    return directory


def test_a_head_is_relu_then_a_linear_map_and_drops_only_in_training() -> None:
    head = ClassHead(2, ClassHeadConfig(dropout=0.5))
    with torch.no_grad():
        head.to_findings.weight.fill_(2.0)
        head.to_findings.bias.fill_(0.5)
    latent = torch.tensor([[0.6, -0.8]])
    torch.testing.assert_close(head.eval()(latent), torch.full((1, 18), 0.6 * 2 + 0.5))
    head.train()
    torch.manual_seed(0)
    seen = {round(head(latent)[0, 0].item(), 4) for _ in range(50)}
    assert seen == {0.5, 0.6 * 2 / 0.5 + 0.5}  # dropped, or kept and doubled


def test_a_model_with_a_head_scores_volumes_and_their_stored_latents_alike(tmp_path: Path) -> None:
    plain = write_tiny_model(tmp_path / "plain").directory
    encoder, without = load_encoder(with_head(plain, tmp_path / "fine")), load_encoder(plain)
    volume = torch.rand(3, 1, 16, 32, 32) * 2 - 1
    latents = encoder.encode_volumes(volume)
    assert torch.equal(latents, without.encode_volumes(volume))
    model = build_model(read_model(read_card(tmp_path / "fine"))).eval()
    with torch.no_grad():
        expected = model.finding_logits(volume).sigmoid()
    torch.testing.assert_close(encoder.score_volumes(volume), expected)
    torch.testing.assert_close(encoder.score_latents(latents.numpy()), expected)
    assert (encoder.has_head, without.has_head) == (True, False)
    assert encoder.can_read_text
    assert encoder.digest != without.digest
    with pytest.raises(ConfigError, match="no head of its own"):
        without.score_volumes(volume)


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    weights = read_model(read_card(with_head(write_tiny_model(tmp_path / "a").directory, tmp_path / "b")))
    weights.tensors["class_head.to_findings.weight"] = torch.zeros(15, 16)
    with pytest.raises(CheckpointError, match=r"class_head.to_findings.weight.*\(15, 16\).*\(18, 16\)"):
        write_model(tmp_path / "c", weights)
    with pytest.raises(ConfigError, match="a head scores latents"):
        CtClipConfig(report=None, latent_dim=0, class_head=ClassHeadConfig())
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        ClassHeadConfig(dropout=1.0)


def test_models_of_before_there_were_heads_keep_their_digest() -> None:
    card = read_card(Path("encoders/builtin/phantom-tiny").resolve())
    assert "class_head" not in card.config.to_json()
    assert CtClipConfig.from_json(card.config.to_json()) == card.config
