"""A model on disk is what was written, and says in one sentence what it cannot do."""

import resource
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from cli.models import app
from encoders.checkpoints import Weights, read_checkpoint
from encoders.config import CtClipConfig, VolumeEncoderConfig
from encoders.ct_clip import CtClip
from encoders.encoder import load_encoder
from encoders.errors import CheckpointError, ConfigError, ReportError, StorageError, VolumeError
from encoders.model_card import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, read_card
from encoders.model_directory import write_model
from encoders.reports import ReportTokenizer
from tests.shared import shared_file

TINY = {"slices": 35, "text_heads": 4}


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return load_file(shared_file("golden/ctclip_tiny/checkpoint.safetensors"))


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return load_file(shared_file("golden/ctclip_tiny/expected.safetensors"))


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 tokens, as many as the golden model's embedding has rows."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pleural", "effusion", "no", "##s", "nodule", "."]
    path = tmp_path_factory.mktemp("tokeniser") / "vocab.txt"
    path.write_text("\n".join(words + [f"word{index}" for index in range(120 - len(words))]) + "\n")
    return path


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    source = shared_file("golden/ctclip_tiny/checkpoint.pt")
    write_model(directory, read_checkpoint(source, **TINY))
    return directory


@pytest.fixture
def copied_model(model_directory: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in model_directory.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def save(weights: object, tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    torch.save(weights, path)
    return path


def test_both_forms_of_one_checkpoint_have_one_digest(model_directory, tmp_path) -> None:
    source = shared_file("golden/ctclip_tiny/checkpoint.safetensors")
    card = write_model(tmp_path / "other", read_checkpoint(source, **TINY), source="elsewhere")
    assert card.digest == read_card(model_directory).digest
    more_slices = read_checkpoint(source, slices=70, text_heads=4)
    assert write_model(tmp_path / "longer", more_slices).digest != card.digest


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE])
@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_a_model_whose_files_are_not_as_written_is_refused(
    name, damage, published, vocabulary, tmp_path
) -> None:
    directory = tmp_path / "model"
    weights = read_checkpoint(save(published, tmp_path), **TINY)
    write_model(directory, weights, tokenizer=ReportTokenizer.from_path(vocabulary))
    assert load_encoder(directory).can_read_text
    content = (directory / name).read_bytes()
    match damage:
        case "truncated":
            (directory / name).write_bytes(content[:-7])
        case "changed":
            (directory / name).write_bytes(content.replace(b"5", b"6", 1))
        case "gone":
            (directory / name).unlink()
    with pytest.raises(CheckpointError):
        load_encoder(directory)


def test_an_unknown_name_lists_what_is_built_in_and_how_to_import(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"no encoder 'ct-klip'.*ctsearch models import"):
        load_encoder("ct-klip")
    with pytest.raises(CheckpointError, match="no model directory"):
        load_encoder(tmp_path)


def test_a_directory_that_is_not_this_model_is_left_alone(published, model_directory, tmp_path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("two years of work")
    weights = read_checkpoint(save(published, tmp_path), **TINY)
    with pytest.raises(CheckpointError, match="no sound model"):
        write_model(mine, weights)
    assert [file.name for file in mine.iterdir()] == ["chapter.txt"]

    other = read_checkpoint(save(published | {"temperature": torch.tensor(2.0)}, tmp_path), **TINY)
    with pytest.raises(CheckpointError, match="other weights"):
        write_model(model_directory, other)
    assert load_encoder(model_directory).log_temperature == published["temperature"].item()


def test_importing_again_may_add_a_tokeniser_and_never_takes_it_away(
    copied_model, published, vocabulary, tmp_path
) -> None:
    weights = read_checkpoint(save(published, tmp_path), **TINY)
    before = read_card(copied_model).digest
    assert write_model(copied_model, weights).digest == before
    with_text = write_model(copied_model, weights, tokenizer=ReportTokenizer.from_path(vocabulary))
    assert with_text.digest != before
    assert write_model(copied_model, weights).digest == with_text.digest
    assert load_encoder(copied_model).encode_reports(["No pleural effusions."]).shape == (1, 24)
    assert [path.name for path in copied_model.parent.iterdir() if path.name.startswith(".")] == []


def test_every_user_may_read_what_an_import_wrote(model_directory) -> None:
    modes = {file.stat().st_mode for file in model_directory.iterdir()}
    assert len(modes) == 1


@pytest.fixture
def little_disk() -> Iterator[None]:
    """Files end at 64 kB, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(published, tmp_path, request) -> None:
    weights = read_checkpoint(save(published, tmp_path), **TINY)
    request.getfixturevalue("little_disk")
    with pytest.raises(StorageError, match="cannot be written"):
        write_model(tmp_path / "deep" / "model", weights)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_tokeniser_of_another_model_is_refused(published, tmp_path) -> None:
    few = tmp_path / "vocab.txt"
    few.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nnodule\n")
    weights = read_checkpoint(save(published, tmp_path), **TINY)
    with pytest.raises(CheckpointError, match="5 tokens and the checkpoint's embedding 120 rows"):
        write_model(tmp_path / "model", weights, tokenizer=ReportTokenizer.from_path(few))


def test_text_without_a_tokeniser_says_what_is_missing_and_how_to_add_it(model_directory) -> None:
    encoder = load_encoder(model_directory)
    with pytest.raises(ReportError, match=r"no tokeniser.*--tokenizer"):
        encoder.encode_reports(["No pleural effusion."])


def test_input_that_does_not_fit_the_model_is_refused_in_one_sentence(model_directory) -> None:
    encoder = load_encoder(model_directory)
    ones = torch.ones(1, 4, dtype=torch.int64)
    for wrong in (torch.zeros(1, 35, 40, 40), torch.zeros(1, 1, 40, 40, 35), torch.zeros(1, 2, 35, 40, 40)):
        with pytest.raises(VolumeError, match=r"takes volumes \(B, 1, 35, 40, 40\)"):
            encoder.encode_volumes(wrong)
    with pytest.raises(ReportError, match="from 1 to 120 where the encoder has 120"):
        encoder.encode_token_ids(torch.tensor([[1, 5, 120, 3]]), ones)
    with pytest.raises(ReportError, match="one shape"):
        encoder.encode_token_ids(ones, ones[:, :3])
    with pytest.raises(ReportError, match="reads 64 tokens, found 65"):
        encoder.encode_token_ids(torch.ones(1, 65), torch.ones(1, 65))
    with pytest.raises(ReportError, match="no token that the mask keeps"):
        encoder.encode_token_ids(ones, torch.zeros(1, 4))
    with pytest.raises(ConfigError, match="'abacus' cannot be used"):
        load_encoder(model_directory, device="abacus")


def test_flipped_and_read_only_arrays_are_encoded_like_any_other(model_directory, expected) -> None:
    encoder = load_encoder(model_directory)
    volume = expected["volume"].numpy()
    flipped = volume[:, :, ::-1].copy()[:, :, ::-1]
    flipped.flags.writeable = False
    with warnings.catch_warnings(action="error"):
        assert torch.equal(encoder.encode_volumes(flipped), encoder.encode_volumes(volume))


def test_many_volumes_are_encoded_in_parts_as_they_are_together(
    model_directory, expected, monkeypatch
) -> None:
    encoder = load_encoder(model_directory)
    together = encoder.encode_volumes(expected["volume"])
    monkeypatch.setattr("encoders.clip_encoder.VOXELS_AT_ONCE", 60_000)  # one volume has 56,000
    torch.testing.assert_close(encoder.encode_volumes(expected["volume"]), together, atol=1e-6, rtol=0.0)


def test_bfloat16_stays_near_float32_and_answers_in_float32(model_directory, expected) -> None:
    encoder = load_encoder(model_directory, dtype=torch.bfloat16)
    latents = encoder.encode_volumes(expected["volume"])
    assert latents.dtype == torch.float32
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(4))
    assert (latents * expected["image_latents"]).sum(dim=1).min() > 0.9
    assert encoder.log_temperature == load_encoder(model_directory).log_temperature


def test_a_model_without_a_codebook_is_written_and_read(tmp_path) -> None:
    torch.manual_seed(0)
    config = CtClipConfig(
        volume=VolumeEncoderConfig(
            image_px=16,
            slices=8,
            patch_px=8,
            patch_slices=4,
            width=16,
            codebook_size=0,
            pooling="flatten",
            spatial_depth=1,
            temporal_depth=1,
            heads=2,
            head_width=8,
        ),
        report=None,
        latent_dim=8,
    )
    model = CtClip(config).eval()
    write_model(tmp_path / "plain", Weights(config, model.state_dict()))
    volume = torch.randn(3, 1, 8, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            load_encoder(tmp_path / "plain").encode_volumes(volume), model.volume_latents(volume)
        )
    with pytest.raises(ConfigError, match="no codebook"):
        load_encoder(tmp_path / "plain").codebook_ids(volume)


def test_the_command_imports_and_lists(vocabulary, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    checkpoint = str(shared_file("golden/ctclip_tiny/checkpoint.pt"))
    options = ["--out", str(tmp_path / "models" / "tiny"), "--slices", "35", "--text-heads", "4"]
    first = CliRunner().invoke(app, ["import", checkpoint, *options])
    assert first.exit_code == 0, first.output
    assert "no tokeniser" in first.output
    again = CliRunner().invoke(app, ["import", checkpoint, *options, "--tokenizer", str(vocabulary)])
    assert again.exit_code == 0, again.output
    listed = CliRunner().invoke(app, ["list"])
    assert "tiny" in listed.output
    assert "35 × 40 × 40" in listed.output
    assert load_encoder(tmp_path / "models" / "tiny").can_read_text
