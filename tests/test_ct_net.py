"""CT-Net: its dimensions, its directory, and that it is searched but never asked in words."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from encoders.ct_net import CtNet
from encoders.ct_net_config import CtNetConfig
from encoders.encoder import build_ct_net, load_encoder
from encoders.errors import CheckpointError, ConfigError, ReportError, VolumeError
from encoders.model_card import read_card
from encoders.model_directory import CtNetWeights, read_ct_net, read_model, write_model
from encoders.resnet import ResNet18, load_imagenet_weights
from tests.tiny_model import write_tiny_model

TINY = CtNetConfig(
    image_px=96,
    slices=6,
    slice_mm=60.0,
    pixel_mm=4.0,
    resnet_width=8,
    pools_stem=False,
    reduced_width=16,
    hidden=16,
    features=12,
)


def tiny_net(seed: int = 0) -> CtNet:
    torch.manual_seed(seed)
    return CtNet(TINY).eval()


def volumes(count: int = 4) -> torch.Tensor:
    """Blurs of 16 voxels' size, as different from each other as chests and more."""
    coarse = torch.rand(count, 1, 2, 6, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return functional.interpolate(coarse, (6, 96, 96), mode="trilinear")


def save_net(directory: Path, seed: int = 0) -> Path:
    write_model(directory, CtNetWeights(TINY, dict(tiny_net(seed).state_dict())))
    return directory


def test_the_published_sizes_leave_7200_numbers_before_the_linear_layers() -> None:
    with torch.device("meta"):
        net = CtNet(CtNetConfig())
        assert net(torch.empty(2, 1, 240, 480, 480)).shape == (2, 18)
    assert net.to_hidden.weight.shape == (128, 16 * 18 * 5 * 5)
    assert net.reduce[0].weight.shape == (64, 80, 3, 3, 3)
    assert sum(p.numel() for p in net.resnet.parameters()) == 11_176_512  # torchvision's, less its classifier


@pytest.mark.parametrize("image_px", [81, 96, 97, 130])
def test_the_convolutions_leave_what_the_configuration_says(image_px: int) -> None:
    config = replace(TINY, image_px=image_px)
    with torch.device("meta"):
        assert CtNet(config)(torch.empty(1, 1, 6, image_px, image_px)).shape == (1, 18)


def test_sizes_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave nothing"):
        replace(TINY, image_px=80)
    with pytest.raises(ConfigError, match="multiple of 3"):
        replace(TINY, slices=7)


def test_a_directory_keeps_the_answers_and_has_a_digest_of_its_own(tmp_path: Path) -> None:
    encoder = load_encoder(save_net(tmp_path / "net"))
    with torch.no_grad():
        expected = tiny_net()(volumes()).sigmoid()
    torch.testing.assert_close(encoder.score_volumes(volumes()), expected)
    stored = encoder.encode_volumes(volumes()).numpy()
    torch.testing.assert_close(encoder.score_latents(stored), expected)  # the latent's 1 keeps its length
    assert torch.equal(encoder.encode_volumes(volumes()), encoder.encode_volumes(volumes()))
    assert encoder.digest != load_encoder(save_net(tmp_path / "other", seed=1)).digest
    assert encoder.digest == load_encoder(save_net(tmp_path / "again")).digest
    assert (encoder.latent_dim, encoder.grid, encoder.can_read_text) == (13, TINY.grid, False)


def test_latents_are_of_unit_length_and_tell_volumes_apart(tmp_path: Path) -> None:
    latents = load_encoder(save_net(tmp_path / "net")).encode_volumes(volumes(16))
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(16))
    assert (latents < 0).any()
    assert torch.linalg.matrix_rank(latents - latents.mean(0), rtol=1e-3) >= 8


def test_volumes_in_parts_are_encoded_as_they_are_together(tmp_path: Path, monkeypatch) -> None:
    encoder = load_encoder(save_net(tmp_path / "net"))
    together = encoder.encode_volumes(volumes())
    monkeypatch.setattr("encoders.clip_encoder.VOXELS_AT_ONCE", 1)
    monkeypatch.setattr("encoders.ct_net._GROUPS_AT_ONCE", 3)
    torch.testing.assert_close(encoder.encode_volumes(volumes()), together, atol=1e-6, rtol=0)


def test_what_a_ct_net_cannot_do_is_said_in_one_sentence(tmp_path: Path) -> None:
    encoder = load_encoder(save_net(tmp_path / "net"))
    with pytest.raises(ReportError, match="CT-Net and reads no text"):
        encoder.encode_reports(["No pleural effusion."])
    with pytest.raises(ConfigError, match="no tokens"):
        encoder.volume_tokens(volumes())
    with pytest.raises(VolumeError, match=r"takes volumes \(B, 1, 6, 96, 96\)"):
        encoder.encode_volumes(torch.zeros(1, 1, 6, 96, 90))


def test_models_of_the_other_kind_and_changed_ones_are_refused(tmp_path: Path) -> None:
    net, clip = save_net(tmp_path / "net"), write_tiny_model(tmp_path / "clip")
    with pytest.raises(CheckpointError, match="is a CT-Net where a CT-CLIP"):
        read_model(read_card(net))
    with pytest.raises(CheckpointError, match="is a CT-CLIP where a CT-Net"):
        read_ct_net(clip)
    config = net / "config.json"
    described = json.loads(config.read_text())
    described["model"]["hidden"] = 17
    config.write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match="has been changed"):
        load_encoder(net)
    wrong = dict(tiny_net().state_dict())
    wrong["to_hidden.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"'to_hidden.bias' has the shape \(3,\)"):
        write_model(tmp_path / "wrong", CtNetWeights(TINY, wrong))


def test_imagenet_weights_in_torchvisions_layout_fill_the_resnet_and_nothing_else_does(
    tmp_path: Path,
) -> None:
    torch.manual_seed(3)
    source = ResNet18(8, pools_stem=False)
    classifier = {"fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}
    older = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(older | classifier, tmp_path / "resnet18.pth")
    net = tiny_net()
    load_imagenet_weights(net.resnet, tmp_path / "resnet18.pth")
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(net.resnet.eval()(image), source.eval()(image))

    torch.save({k: v for k, v in older.items() if k != "layer1.0.conv1.weight"}, tmp_path / "gap.pth")
    with pytest.raises(CheckpointError, match=r"'layer1.0.conv1.weight' is missing"):
        load_imagenet_weights(net.resnet, tmp_path / "gap.pth")
    torch.save(older | {"layer3.2.conv1.weight": torch.zeros(1)}, tmp_path / "resnet34.pth")
    with pytest.raises(CheckpointError, match=r"'layer3.2.conv1.weight' is left over"):
        load_imagenet_weights(net.resnet, tmp_path / "resnet34.pth")
    wide = ResNet18(16, pools_stem=False).state_dict()
    torch.save(wide, tmp_path / "wide.pth")
    with pytest.raises(CheckpointError, match=r"'conv1.weight' has the shape \(16, 3, 7, 7\)"):
        load_imagenet_weights(net.resnet, tmp_path / "wide.pth")


def test_the_pretrained_resnet_is_torchvisions_block_for_block() -> None:
    """One block by hand: the centre tap alone makes a 3×3 convolution the identity, so y = relu(2x)."""
    block = ResNet18(4).layer1[0].eval()
    for convolution in (block.conv1, block.conv2):
        with torch.no_grad():
            convolution.weight.zero_()
            for channel in range(4):
                convolution.weight[channel, channel, 1, 1] = 1
    x = torch.randn(1, 4, 5, 5)
    unit = (1 + 1e-5) ** -0.5  # BatchNorm's, at mean 0 and variance 1
    torch.testing.assert_close(block(x), (x + x.relu() * unit**2).relu())
    assert build_ct_net(CtNetWeights(TINY, dict(tiny_net().state_dict()))).config == TINY
