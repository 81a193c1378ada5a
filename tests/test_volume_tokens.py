"""Tokens of volumes are computed once, kept small, and found by what a volume holds, never by its name."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from chat.volume_tokens import VolumeTokens
from encoders.encoder import Encoder, load_encoder
from encoders.errors import VolumeError
from retrieval.cases import VolumeFile
from retrieval.kept_tokens import forget_tokens
from retrieval.reading import file_sha256, read_volume, volume_content
from tests.synthetic_ct import chest_hu, write_nifti
from tests.tiny_model import write_tiny_model


def encoder_of(tmp_path: Path, codebook_size: int, seed: int = 0) -> Encoder:
    return load_encoder(
        write_tiny_model(
            tmp_path / f"model{codebook_size}-{seed}", codebook_size=codebook_size, seed=seed
        ).directory
    )


def volume_of(path: Path, noise: float) -> VolumeFile:
    write_nifti(path, chest_hu(noise=noise))
    return VolumeFile(kind="nifti", uri=str(path), paths=(path,))


def encoded(encoder: Encoder, file: VolumeFile) -> torch.Tensor:
    volume = torch.from_numpy(np.array(read_volume(file, "auto", encoder.grid).volume_DHW))[None, None]
    return encoder.volume_tokens(volume)[0].flatten(0, 2)


def kept_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tokens"))


def test_with_a_codebook_two_bytes_a_token_give_the_encoders_tokens_to_the_last_bit(tmp_path: Path) -> None:
    encoder, file = encoder_of(tmp_path, 40), volume_of(tmp_path / "a.nii.gz", 10)
    tokens = VolumeTokens(tmp_path / "kept", encoder)
    assert torch.equal(tokens.read(file), encoded(encoder, file))
    (kept,) = kept_files(tmp_path / "kept")
    header = 28
    assert kept.stat().st_size == header + 2 * len(tokens.read(file))
    assert torch.equal(tokens.read(file), encoded(encoder, file))


def test_without_a_codebook_tokens_are_kept_in_half_precision_and_read_alike_every_time(
    tmp_path: Path,
) -> None:
    encoder, file = encoder_of(tmp_path, 0), volume_of(tmp_path / "a.nii.gz", 10)
    tokens = VolumeTokens(tmp_path / "kept", encoder)
    first = tokens.read(file)
    assert torch.equal(first, encoded(encoder, file).half().float())
    assert torch.equal(tokens.read(file), first)
    assert torch.equal(VolumeTokens(None, encoder).read(file), first)


def test_a_volume_is_not_encoded_twice(tmp_path: Path) -> None:
    file = volume_of(tmp_path / "a.nii.gz", 10)
    first = VolumeTokens(tmp_path / "kept", encoder_of(tmp_path, 40)).read(file)
    shutil.copy(tmp_path / "a.nii.gz", tmp_path / "renamed.nii.gz")
    (tmp_path / "a.nii.gz").unlink()
    renamed = VolumeFile(kind="nifti", uri="renamed", paths=(tmp_path / "renamed.nii.gz",))
    encoder = encoder_of(tmp_path, 40)
    vars(encoder)["_model"].volume_tower.patches = None  # without it no volume can be encoded
    assert torch.equal(VolumeTokens(tmp_path / "kept", encoder).read(renamed), first)


def test_another_scan_under_an_old_name_is_another_scan(tmp_path: Path) -> None:
    tokens = VolumeTokens(tmp_path / "kept", encoder_of(tmp_path, 40))
    file = volume_of(tmp_path / "a.nii.gz", 10)
    first = tokens.read(file)
    assert file == volume_of(tmp_path / "a.nii.gz", 300)
    assert not torch.equal(tokens.read(file), first)
    assert len(kept_files(tmp_path / "kept")) == 2


def test_another_encoder_or_rule_does_not_find_what_was_kept(tmp_path: Path) -> None:
    file = volume_of(tmp_path / "a.nii.gz", 10)
    for encoder, rule in [
        (encoder_of(tmp_path, 40), "auto"),
        (encoder_of(tmp_path, 40, seed=1), "auto"),
        (encoder_of(tmp_path, 40), "header"),
    ]:
        VolumeTokens(tmp_path / "kept", encoder, rule).read(file)
    assert len(kept_files(tmp_path / "kept")) == 3


@pytest.mark.parametrize(
    "damage", [lambda b: b[:20], lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""]
)
def test_a_damaged_file_is_made_again(tmp_path: Path, damage, caplog: pytest.LogCaptureFixture) -> None:
    tokens = VolumeTokens(tmp_path / "kept", encoder_of(tmp_path, 40))
    file = volume_of(tmp_path / "a.nii.gz", 10)
    first = tokens.read(file)
    (kept,) = kept_files(tmp_path / "kept")
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(tokens.read(file), first)
    assert "is damaged and is made again" in caplog.text
    assert kept.read_bytes() == whole


def test_what_is_kept_of_a_volume_can_be_deleted_by_its_content(tmp_path: Path) -> None:
    tokens = VolumeTokens(tmp_path / "kept", encoder_of(tmp_path, 40))
    first, second = volume_of(tmp_path / "a.nii.gz", 10), volume_of(tmp_path / "b.nii.gz", 300)
    tokens.read(first), tokens.read(second)
    forget_tokens(tmp_path / "kept", [volume_content(file_sha256(first), first, "auto"), bytes(32)])
    (left,) = kept_files(tmp_path / "kept")
    assert left.parent.name == volume_content(file_sha256(second), second, "auto").hex()


def test_it_says_what_it_keeps_and_a_torn_volume_keeps_nothing(tmp_path: Path) -> None:
    tokens = VolumeTokens(tmp_path / "kept", encoder_of(tmp_path, 40))
    assert "codebook ids" in tokens.describe()
    assert "float16" in VolumeTokens(tmp_path, encoder_of(tmp_path, 0)).describe()
    (tmp_path / "torn.nii.gz").write_bytes(b"no CT")
    with pytest.raises(VolumeError):
        tokens.read(VolumeFile(kind="nifti", uri="torn", paths=(tmp_path / "torn.nii.gz",)))
    assert not kept_files(tmp_path / "kept")
