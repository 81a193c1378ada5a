"""WISE-FT: the ends are the ends, the way between is straight, and other models are refused."""

from pathlib import Path

import pytest
import torch

from encoders.encoder import load_encoder
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import read_card
from encoders.model_directory import read_model
from encoders.weight_interpolation import interpolate, interpolate_models
from tests.command import Command
from tests.test_class_head import with_head
from tests.test_ct_net import save_net
from tests.tiny_model import write_tiny_model


@pytest.fixture
def ctsearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "80")
    return Command(capsys, monkeypatch)


def test_the_ends_are_the_models_to_the_last_bit_and_the_middle_is_linear() -> None:
    draw = torch.Generator().manual_seed(0)
    first, other = ({"w": torch.randn(7, 5, generator=draw), "n": torch.tensor(n)} for n in (3, 8))
    for alpha, end in ((0.0, first), (1.0, other)):
        assert torch.equal(interpolate(first, other, alpha)["w"], end["w"])
    torch.testing.assert_close(interpolate(first, other, 0.25)["w"], 0.75 * first["w"] + 0.25 * other["w"])
    assert interpolate(first, other, 0.25)["n"] == 8  # a counter has no middle


def test_a_codebook_row_moves_on_the_line_between_its_two_places() -> None:
    rows = interpolate({"rows": torch.tensor([[1.0, 0.0]])}, {"rows": torch.tensor([[0.0, 1.0]])}, 0.5)
    torch.testing.assert_close(rows["rows"], torch.tensor([[0.5, 0.5]]))  # not brought to unit length


def test_what_cannot_be_interpolated_is_named() -> None:
    ones = {"w": torch.ones(2)}
    with pytest.raises(ConfigError, match=r"from 0 to 1, found 1\.5"):
        interpolate(ones, ones, 1.5)
    with pytest.raises(CheckpointError, match=r"'w' is \(2,\) and \(3,\)"):
        interpolate(ones, {"w": torch.ones(3)}, 0.5)
    with pytest.raises(CheckpointError, match="'v' is missing and"):
        interpolate(ones, ones | {"v": torch.ones(1)}, 0.5)


def test_a_head_that_only_the_fine_tuned_model_has_is_taken_whole(tmp_path: Path) -> None:
    zero_shot = write_tiny_model(tmp_path / "a").directory
    fine = with_head(write_tiny_model(tmp_path / "b", seed=1).directory, tmp_path / "fine")
    first, other = read_model(read_card(zero_shot)), read_model(read_card(fine))
    middle = interpolate_models(first, other, 0.5)
    name = "class_head.to_findings.weight"
    assert torch.equal(middle.tensors[name], other.tensors[name])
    torch.testing.assert_close(
        middle.tensors["volume_projection.weight"],
        (first.tensors["volume_projection.weight"] + other.tensors["volume_projection.weight"]) / 2,
    )
    with pytest.raises(CheckpointError, match="give the zero-shot model first"):
        interpolate_models(other, first, 0.5)


def test_the_command_writes_a_model_between_two(ctsearch: Command, tmp_path: Path) -> None:
    first, other = write_tiny_model(tmp_path / "a"), write_tiny_model(tmp_path / "b", seed=1)
    done = ctsearch(
        "models", "interpolate", first.directory, other.directory, "--alpha", "0.5", "--out", tmp_path / "m"
    )
    assert done.code == 0, done.err
    encoder = load_encoder(tmp_path / "m")
    assert encoder.can_read_text
    assert encoder.digest not in (first.digest, other.digest)
    ctsearch(
        "models", "interpolate", first.directory, other.directory, "--alpha", "1", "--out", tmp_path / "end"
    )
    assert load_encoder(tmp_path / "end").digest == other.digest


def test_models_that_do_not_belong_together_are_refused_in_one_sentence(
    ctsearch: Command, tmp_path: Path
) -> None:
    first = write_tiny_model(tmp_path / "a").directory
    silent = write_tiny_model(tmp_path / "silent", seed=1, reads_text=False).directory
    net = save_net(tmp_path / "net")
    refusals = {
        "phantom-tiny": "cannot be interpolated",
        net: "is a CT-Net where a CT-CLIP",
        silent: "tokeniser",
        tmp_path / "nowhere": "there is no encoder",
    }
    for other, why in refusals.items():
        done = ctsearch("models", "interpolate", first, other, "--out", tmp_path / "m")
        assert done.code == 2
        assert why in done.err
        assert done.err.count("\n") == 1
    assert not (tmp_path / "m").exists()
