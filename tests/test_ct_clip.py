"""The towers give what the published code gives, and train as CT_CLIP.md says."""

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from encoders.codebook import Codebook
from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.ct_clip import CtClip, similarity
from encoders.ct_vit import GatedFeedForward, PositionBias, PositionConv
from encoders.errors import ConfigError
from encoders.published_keys import published_names
from tests.shared import shared_file


def assert_parity(actual: torch.Tensor, published: torch.Tensor) -> None:
    torch.testing.assert_close(actual, published, atol=1e-5, rtol=0.0)


def small_config(**volume: object) -> CtClipConfig:
    settings = {
        "image_px": 16,
        "slices": 8,
        "patch_px": 8,
        "patch_slices": 4,
        "width": 16,
        "spatial_depth": 1,
        "temporal_depth": 1,
        "heads": 2,
        "head_width": 8,
        "codebook_size": 12,
    }
    return CtClipConfig(
        volume=VolumeEncoderConfig(**(settings | volume)),
        report=ReportEncoderConfig(
            vocabulary=30, width=16, layers=1, heads=2, feed_forward=32, max_tokens=12
        ),
        latent_dim=8,
    )


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(shared_file("golden/ctclip_tiny/expected.safetensors"))


@pytest.fixture(scope="module")
def golden_model() -> CtClip:
    config = CtClipConfig(
        volume=VolumeEncoderConfig(
            image_px=40,
            slices=35,
            patch_px=10,
            patch_slices=5,
            width=32,
            spatial_depth=2,
            temporal_depth=2,
            heads=2,
            head_width=16,
            codebook_size=64,
        ),
        report=ReportEncoderConfig(
            vocabulary=120, width=48, layers=2, heads=4, feed_forward=96, max_tokens=64
        ),
        latent_dim=24,
    )
    weights = load_file(shared_file("golden/ctclip_tiny/checkpoint.safetensors"))
    model = CtClip(config).eval()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    names = published_names(config)
    model.load_state_dict({name: weights[key].reshape(shapes[name]) for name, key in names.items()})
    return model


@torch.no_grad()
def test_tokens_and_codebook_ids_are_the_published_ones(golden_model, golden) -> None:
    before = golden_model.volume_tower.unquantised_tokens(golden["volume"])
    tokens, ids = golden_model.volume_tower(golden["volume"])
    assert_parity(before, golden["tokens_before_vq"])
    assert_parity(tokens, golden["tokens"])
    assert torch.equal(ids, golden["codebook_ids"])


def test_latents_and_loss_are_the_published_ones_with_and_without_gradients(golden_model, golden) -> None:
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            volume_BL, report_BL, log_temperature = golden_model(
                golden["volume"], golden["input_ids"], golden["attention_mask"]
            )
            logits = similarity(report_BL, volume_BL, log_temperature)
            target = torch.arange(4)
            both = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
        assert_parity(volume_BL, golden["image_latents"])
        assert_parity(report_BL, golden["text_latents"])
        assert_parity(both[None] / 2, golden["contrastive_loss"])
        assert_parity(logits[:2, 0], golden["pair_logits"])
        assert_parity(logits[:2, 0].softmax(0), golden["pair_probs"])


@torch.no_grad()
def test_a_volume_has_the_same_latent_alone_and_in_a_batch(golden_model, golden) -> None:
    alone = torch.cat([golden_model.volume_latents(volume[None]) for volume in golden["volume"]])
    assert_parity(alone, golden["image_latents"])


def test_position_bias_equals_the_pairwise_formula_on_an_oblong_grid() -> None:
    torch.manual_seed(0)
    net = PositionBias(width=6, heads=3)
    rows, columns = 2, 3
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    bias = net(rows, columns)
    for i, query in enumerate(cells):
        for j, key in enumerate(cells):
            offset = torch.tensor([float(query[0] - key[0]), float(query[1] - key[1])])
            scaled = offset.sign() * torch.log(offset.abs() + 1)
            hidden = functional.leaky_relu(net.hidden_1(scaled), 0.1)
            expected = net.to_heads(functional.leaky_relu(net.hidden_2(hidden), 0.1))
            torch.testing.assert_close(bias[:, i, j], expected)


def test_position_bias_follows_the_weights_after_they_change() -> None:
    tower = CtClip(small_config()).volume_tower.eval()
    with torch.no_grad():
        before = tower._spatial_bias(2, 2)
        assert tower._spatial_bias(2, 2) is before
        tower.position_bias.to_heads.bias.add_(1.0)
        torch.testing.assert_close(tower._spatial_bias(2, 2), before + 1.0)


def test_position_convolution_looks_back_along_the_slices_and_both_ways_in_the_plane() -> None:
    conv = PositionConv(1)
    conv.depthwise.load_state_dict({"weight": torch.ones(1, 1, 3, 3, 3), "bias": torch.zeros(1)})
    with torch.no_grad():
        one = torch.zeros(1, 4, 3, 3, 1)
        one[0, 1, 1, 1] = 1.0
        reached = conv(one.reshape(4, 9, 1), torch.Size((1, 4, 3, 3))).reshape(4, 9)
    assert reached.sum(dim=1).tolist() == [0.0, 9.0, 9.0, 9.0]  # slices 1, 2, 3 see slice 1; slice 0 does not


def test_feed_forward_is_two_thirds_of_four_times_the_width() -> None:
    assert GatedFeedForward(512).to_out.in_features == 1365


def test_codebook_takes_the_nearest_direction_and_returns_the_row_as_stored() -> None:
    codebook = Codebook(2, 2).eval()
    codebook.rows.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.5]]))
    tokens, ids = codebook(torch.tensor([[0.1, 0.2], [5.0, 4.0]]))
    assert ids.tolist() == [1, 0]
    assert tokens.tolist() == [[0.0, 0.5], [3.0, 0.0]]


def test_codebook_moves_only_when_told_and_by_the_hand_worked_average() -> None:
    codebook = Codebook(3, 2).train()
    codebook.rows.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, -4.0]]))
    codebook.counts.fill_(10.0)
    tokens = torch.tensor([[3.0, 4.0], [7.0, 0.0], [0.0, 9.0]])
    totals = codebook.totals(tokens, codebook(tokens)[1])
    assert codebook.rows.tolist() == [[2.0, 0.0], [0.0, 1.0], [0.0, -4.0]]
    assert codebook.counts.tolist() == [10.0, 10.0, 10.0]
    assert totals.counts.tolist() == [1.0, 2.0, 0.0]  # (.6, .8) is nearer to (0, 1) than to (1, 0)

    codebook.move_rows(totals.sums, totals.counts)
    mean = torch.tensor([0.6, 1.8]) / 2  # of (.6, .8) and (0, 1)
    expected = torch.stack(
        [
            0.8 * torch.tensor([2.0, 0.0]) + 0.2 * torch.tensor([1.0, 0.0]),
            0.8 * torch.tensor([0.0, 1.0]) + 0.2 * mean / mean.norm(),
            0.8 * torch.tensor([0.0, -4.0]) + 0.2 * torch.tensor([0.0, -1.0]),  # no token: its own direction
        ]
    )
    torch.testing.assert_close(codebook.rows, expected)
    torch.testing.assert_close(codebook.counts, torch.tensor([8.2, 8.4, 8.0]))


def test_gradients_pass_straight_through_the_codebook() -> None:
    tokens = torch.randn(5, 4, requires_grad=True)
    weight = torch.randn(5, 4)
    (Codebook(6, 4)(tokens)[0] * weight).sum().backward()
    torch.testing.assert_close(tokens.grad, weight)


@pytest.mark.parametrize(
    "volume", [{}, {"codebook_size": 0}, {"pooling": "flatten"}, {"codebook_size": 0, "pooling": "flatten"}]
)
def test_every_weight_learns_whatever_the_codebook_and_the_pooling(volume) -> None:
    torch.manual_seed(0)
    model = CtClip(small_config(**volume)).train()
    volume_BL, report_BL, log_temperature = model(
        torch.randn(3, 1, 8, 16, 16), torch.randint(0, 30, (3, 6)), torch.ones(3, 6, dtype=torch.long)
    )
    assert volume_BL.shape == report_BL.shape == (3, 8)
    functional.cross_entropy(similarity(report_BL, volume_BL, log_temperature), torch.arange(3)).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_mean_pooling_of_text_ignores_what_the_mask_leaves_out() -> None:
    report = ReportEncoderConfig(
        vocabulary=30, width=16, layers=1, heads=2, feed_forward=32, max_tokens=12, pooling="mean"
    )
    model = CtClip(CtClipConfig(volume=small_config().volume, report=report, latent_dim=8)).eval()
    with torch.no_grad():
        short = model.report_latents(torch.tensor([[2, 7, 3]]), torch.ones(1, 3, dtype=torch.long))
        padded = model.report_latents(torch.tensor([[2, 7, 3, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]]))
    torch.testing.assert_close(padded, short, atol=1e-6, rtol=0.0)


def test_a_volume_encoder_alone_says_that_it_has_no_latent() -> None:
    model = CtClip(CtClipConfig(volume=small_config().volume, report=None, latent_dim=0))
    with pytest.raises(ConfigError, match="volume encoder alone"):
        model.volume_latents(torch.zeros(1, 1, 8, 16, 16))
    with pytest.raises(ConfigError, match="no report encoder"):
        model.report_latents(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2))


def test_configuration_survives_json_and_refuses_sizes_that_cannot_be() -> None:
    config = small_config(pooling="flatten")
    assert CtClipConfig.from_json(config.to_json()) == config
    with pytest.raises(ConfigError, match="slices=9"):
        small_config(slices=9)
    with pytest.raises(ConfigError, match="pooling='sum'"):
        small_config(pooling="sum")
    with pytest.raises(ConfigError, match="describe a CT-CLIP"):
        CtClipConfig.from_json({"volume": {}})
