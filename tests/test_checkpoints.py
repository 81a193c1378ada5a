"""Published checkpoints are read in every form they come in, and refused where they do not fit."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders.checkpoint_shapes import config_from_shapes
from encoders.checkpoints import read_checkpoint
from encoders.config import CtClipConfig
from encoders.encoder import load_encoder
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import WEIGHTS_FILE, read_card
from encoders.model_directory import write_model
from tests.shared import shared_file

TINY = {"slices": 35, "text_heads": 4}
VOLUME = "visual_transformer."
CODEBOOK = "visual_transformer.vq._codebook.embed"


def assert_parity(actual: Tensor, published: Tensor) -> None:
    torch.testing.assert_close(actual, published, atol=1e-5, rtol=0.0)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return load_file(shared_file("golden/ctclip_tiny/checkpoint.safetensors"))


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return load_file(shared_file("golden/ctclip_tiny/expected.safetensors"))


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    source = shared_file("golden/ctclip_tiny/checkpoint.pt")
    write_model(directory, read_checkpoint(source, **TINY))
    return directory


def save(weights: object, tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    torch.save(weights, path)
    return path


def assert_same_weights(actual: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert actual.keys() == other.keys()
    for name, tensor in actual.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("form", ["checkpoint.pt", "checkpoint.safetensors"])
def test_an_imported_checkpoint_answers_as_the_published_code_does(form, expected, tmp_path) -> None:
    write_model(tmp_path / "tiny", read_checkpoint(shared_file(f"golden/ctclip_tiny/{form}"), **TINY))
    encoder = load_encoder(tmp_path / "tiny")
    volume = expected["volume"].numpy()
    assert_parity(encoder.volume_tokens(volume), expected["tokens"])
    assert torch.equal(encoder.codebook_ids(volume), expected["codebook_ids"])
    assert_parity(encoder.encode_volumes(volume), expected["image_latents"])
    latents = encoder.encode_token_ids(expected["input_ids"].numpy(), expected["attention_mask"].numpy())
    assert_parity(latents, expected["text_latents"])
    assert (encoder.latent_dim, encoder.grid.shape, encoder.name) == (24, (35, 40, 40), "tiny")
    assert not encoder.can_read_text


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {f"module.{key}": tensor for key, tensor in weights.items()},
        lambda weights: {f"_orig_mod.module.{key}": tensor for key, tensor in weights.items()},
        lambda weights: {key.replace("former.", "former._orig_mod.", 1): t for key, t in weights.items()},
        lambda weights: {f"clip.{key}": tensor for key, tensor in weights.items()},
        lambda weights: {"model": weights, "optim": {"state": {}, "param_groups": [{"lr": 1e-5}]}},
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"epoch": 3, "model": {"model_state_dict": weights}},
        lambda weights: weights | {"text_transformer.embeddings.position_ids": torch.arange(64)[None]},
        lambda weights: {key: tensor for key, tensor in weights.items() if "_extra" not in key},
        lambda weights: {key: tensor for key, tensor in weights.items() if "to_pixels" not in key},
        lambda weights: {
            key: tensor
            for key, tensor in weights.items()
            if not key.endswith(("context_norm.gamma", "context_norm.beta", "null_kv", "initted"))
            and "pooler" not in key
        },
        lambda weights: {key: tensor.double() for key, tensor in weights.items()},
    ],
)
def test_every_form_of_a_checkpoint_gives_the_same_weights(
    wrap, published, model_directory, tmp_path
) -> None:
    found = read_checkpoint(save(wrap(dict(published)), tmp_path), **TINY)
    assert found.config == read_card(model_directory).config
    assert_same_weights(found.tensors, load_file(model_directory / WEIGHTS_FILE))


def test_a_legacy_pickle_and_a_safetensors_file_without_its_ending_are_read(
    published, model_directory, tmp_path
) -> None:
    torch.save(published, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(published, tmp_path / "pytorch_model.bin")
    for name in ("old.pth", "pytorch_model.bin"):
        found = read_checkpoint(tmp_path / name, **TINY)
        assert_same_weights(found.tensors, load_file(model_directory / WEIGHTS_FILE))


def test_weights_that_are_views_of_one_buffer_are_written_apart(published, model_directory, tmp_path) -> None:
    flat = torch.cat([tensor.flatten() for tensor in published.values()])
    pieces = flat.split([tensor.numel() for tensor in published.values()])
    views = {
        key: part.view(tensor.shape) for (key, tensor), part in zip(published.items(), pieces, strict=True)
    }
    write_model(tmp_path / "apart", read_checkpoint(save(views, tmp_path), **TINY))
    assert load_encoder(tmp_path / "apart").digest == load_encoder(model_directory).digest


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shorter_floats_are_read_as_float32(dtype, published, tmp_path) -> None:
    short = {key: tensor.to(dtype) for key, tensor in published.items()}
    found = read_checkpoint(save(short, tmp_path), **TINY).tensors["report_projection.weight"]
    assert found.dtype == torch.float32
    assert torch.equal(found, published["to_text_latent.weight"].to(dtype).float())


@pytest.mark.parametrize("prefix", ["", VOLUME, "module." + VOLUME])
def test_a_volume_encoder_alone_has_tokens_and_says_that_it_has_no_latent(
    prefix, published, expected, tmp_path
) -> None:
    alone = {
        prefix + key.removeprefix(VOLUME): tensor
        for key, tensor in published.items()
        if key.startswith(VOLUME)
    }
    weights = read_checkpoint(save(alone, tmp_path), slices=35, image_px=40)
    assert (weights.config.report, weights.config.latent_dim) == (None, 0)
    write_model(tmp_path / "alone", weights)
    encoder = load_encoder(tmp_path / "alone")
    tokens = encoder.volume_tokens(expected["volume"])
    assert_parity(tokens, expected["tokens"])
    for ask in (
        lambda: encoder.encode_volumes(expected["volume"]),
        lambda: encoder.encode_reports(["No nodule."]),
    ):
        with pytest.raises(ConfigError, match="volume encoder alone"):
            ask()


def test_a_volume_encoder_alone_is_480_pixels_wide_unless_told(published, tmp_path) -> None:
    alone = {key: tensor for key, tensor in published.items() if key.startswith(VOLUME)}
    assert read_checkpoint(save(alone, tmp_path), slices=35).config.volume.image_px == 480
    with pytest.raises(CheckpointError, match="image_px=45"):
        read_checkpoint(tmp_path / "checkpoint.pt", slices=35, image_px=45)


def test_the_published_sizes_are_read_off_the_published_shapes() -> None:
    listed = json.loads(shared_file("golden/ct_clip_v2_state_dict.json").read_text())
    shapes = {key: tuple(entry["shape"]) for key, entry in listed.items()}
    assert config_from_shapes(shapes, slices=240, text_heads=12) == CtClipConfig()


@pytest.mark.parametrize(
    "key",
    [
        "temperature",
        "to_text_latent.weight",
        "to_visual_latent.weight",
        "text_transformer.embeddings.token_type_embeddings.weight",
        "text_transformer.encoder.layer.1.output.dense.weight",
        "visual_transformer.to_patch_emb.2.weight",
        "visual_transformer.spatial_rel_pos_bias.net.2.bias",
        "visual_transformer.enc_spatial_transformer.layers.0.1.to_q.weight",
        "visual_transformer.enc_temporal_transformer.layers.1.3.4.weight",
        CODEBOOK,
    ],
)
def test_a_missing_key_and_one_of_another_shape_are_named(key, published, tmp_path) -> None:
    missing = {name: tensor for name, tensor in published.items() if name != key}
    with pytest.raises(CheckpointError, match=f"key '{key}' is missing"):
        read_checkpoint(save(missing, tmp_path), **TINY)
    old = published[key]
    longer = torch.zeros([size + 1 for size in old.shape] or [1])
    with pytest.raises(CheckpointError, match=f"key '{key}'") as raised:
        read_checkpoint(save(published | {key: longer}, tmp_path), **TINY)
    if key != "to_visual_latent.weight":  # whose side makes no square image any more
        assert str(tuple(longer.shape)) in str(raised.value)
        assert str(tuple(old.shape)) in str(raised.value)


@pytest.mark.parametrize(
    "key", ["visual_transformer.enc_spatial_transformer.layers.0.1.to_q.bias", "classifier.weight"]
)
def test_a_key_that_is_left_over_is_named(key, published, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=f"key '{key}' is left over"):
        read_checkpoint(save(published | {key: torch.zeros(3)}, tmp_path), **TINY)


def test_weights_that_are_not_finite_or_not_numbers_of_the_right_kind_are_refused(
    published, tmp_path
) -> None:
    spoilt = published["to_text_latent.weight"].clone()
    spoilt[3, 5] = float("nan")
    with pytest.raises(CheckpointError, match=r"'to_text_latent.weight' holds values that are not finite"):
        read_checkpoint(save(published | {"to_text_latent.weight": spoilt}, tmp_path), **TINY)
    whole = {"to_text_latent.weight": torch.ones(24, 48, dtype=torch.int64)}
    with pytest.raises(CheckpointError, match=r"'to_text_latent.weight' holds torch.int64"):
        read_checkpoint(save(published | whole, tmp_path), **TINY)


def test_numbers_that_no_shape_tells_must_still_divide(published, tmp_path) -> None:
    path = save(published, tmp_path)
    with pytest.raises(CheckpointError, match=r"slice patch is 5, and 36 slices.*--slices"):
        read_checkpoint(path, slices=36, text_heads=4)
    with pytest.raises(CheckpointError, match=r"48 wide, which 5 heads.*--text-heads"):
        read_checkpoint(path, slices=35, text_heads=5)
    with pytest.raises(CheckpointError, match="images of 40 px, not of 60"):
        read_checkpoint(path, image_px=60, **TINY)


class Payload:
    """Pickles as a call that would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_pickled_code_is_never_run(tmp_path) -> None:
    bomb = tmp_path / "ran"
    torch.save({"model": Payload(bomb)}, tmp_path / "code.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload(bomb)))
    for name in ("code.pt", "plain.pt"):
        with pytest.raises(CheckpointError, match=r"code|no checkpoint"):
            read_checkpoint(tmp_path / name)
    assert not bomb.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"These are the weights you asked for.\n" * 20, "no checkpoint"),
        (b"\x00" * 4000, "no checkpoint"),
        (b"PK\x03\x04 not really", "no checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_sentence(name, content, sentence, tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{sentence}|damaged") as raised:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["checkpoint.pt", "checkpoint.safetensors"])
def test_a_truncated_checkpoint_is_refused(name, tmp_path) -> None:
    whole = shared_file(f"golden/ctclip_tiny/{name}").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(tmp_path / name, **TINY)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(2)], torch.ones(2)])
def test_a_pickle_without_weights_is_refused(content, tmp_path) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(save(content, tmp_path))


def test_a_directory_and_a_missing_file_are_no_checkpoint(tmp_path) -> None:
    for path in (tmp_path, tmp_path / "nothing.pt"):
        with pytest.raises(CheckpointError, match=r"give a .pt or .safetensors file"):
            read_checkpoint(path)


def test_another_models_checkpoint_names_the_first_key_that_is_missing(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"to_patch_emb.* is missing"):
        read_checkpoint(save(torch.nn.Linear(3, 4).state_dict(), tmp_path))
