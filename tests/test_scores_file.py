"""Scores of a collection: by the model's own head where it has one, else by prompts; never from voxels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.encoder import Encoder, load_encoder
from encoders.zero_shot import encode_prompts, probabilities
from tests.command import Command
from tests.small_archive import fill, study
from tests.test_class_head import with_head
from tests.test_ct_net import save_net, volumes
from tests.tiny_model import write_tiny_model


@pytest.fixture
def ctsearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "80")
    return Command(capsys, monkeypatch)


def store(engine: Engine, encoder: Encoder, directory: Path, latents: np.ndarray) -> None:
    """Four studies of one volume each, in a collection of the encoder's name."""
    names = [f"valid_{n}_a_1" for n in range(4)]
    fill(
        engine,
        [study(f"valid_{n}_a", volumes=[f"valid_{n}_a_1"]) for n in range(4)],
        volumes=dict(zip(names, latents, strict=True)),
        collection=encoder.name,
        encoder=str(directory),
        encoder_digest=encoder.digest,
        dim=encoder.latent_dim,
    )


def test_a_ct_nets_collection_scores_as_its_volumes_do(
    ctsearch: Command, engine: Engine, tmp_path: Path
) -> None:
    encoder = load_encoder(save_net(tmp_path / "net"))
    store(engine, encoder, tmp_path / "net", encoder.encode_volumes(volumes()).numpy())
    done = ctsearch("collections", "scores", "net", "--out", tmp_path / "scores.npz")
    assert done.code == 0, done.err
    assert "4 volumes" in done.out
    with np.load(tmp_path / "scores.npz") as found:
        assert found["name"].tolist() == [f"valid_{n}_a_1" for n in range(4)]
        torch.testing.assert_close(torch.tensor(found["score"]), encoder.score_volumes(volumes()))
    shown = ctsearch("score", "--case", "valid_2_a_1", "--json").json
    assert shown["prompt"] is None
    expected = encoder.score_volumes(volumes())[2].tolist()
    assert list(shown["abnormalities"].values()) == pytest.approx(expected, abs=2e-6)
    assert "own head" in ctsearch("score", "--case", "valid_2_a_1").out
    refused = ctsearch("score", "--case", "valid_2_a_1", "--finding", "crazy paving")
    assert refused.code == 2
    assert "reads no text" in refused.err


def test_a_classfine_scores_by_its_head_and_by_prompts_when_asked(
    ctsearch: Command, engine: Engine, tmp_path: Path
) -> None:
    directory = with_head(write_tiny_model(tmp_path / "plain").directory, tmp_path / "fine")
    encoder = load_encoder(directory)
    latents = np.random.default_rng(0).standard_normal((4, encoder.latent_dim)).astype(np.float32)
    latents /= np.linalg.norm(latents, axis=1, keepdims=True)
    store(engine, encoder, directory, latents)
    by_head = ctsearch("score", "--case", "valid_1_a_1", "--json").json
    assert by_head["prompt"] is None
    expected = encoder.score_latents(latents)[1].tolist()
    assert list(by_head["abnormalities"].values()) == pytest.approx(expected, abs=2e-6)
    ctsearch("collections", "scores", "fine", "--prompt", "There is [no] {}.", "--out", tmp_path / "s.npz")
    prompts = encode_prompts(encoder)
    with np.load(tmp_path / "s.npz") as found:
        assert found["score"].shape == (4, len(ABNORMALITIES))
        assert not np.allclose(found["score"], probabilities(latents, prompts))  # another prompt
        assert not np.allclose(found["score"], encoder.score_latents(latents).numpy())
    asked = ctsearch("score", "--case", "valid_1_a_1", "--finding", "Lung nodule", "--json").json
    assert asked["prompt"] is not None


def test_detection_judges_the_head_of_a_model_that_has_one(
    ctsearch: Command, engine: Engine, tmp_path: Path
) -> None:
    encoder = load_encoder(save_net(tmp_path / "net"))
    latents = encoder.encode_volumes(volumes(40)).numpy()
    scores = encoder.score_latents(latents).numpy()
    names = [f"valid_{n}_a_1" for n in range(40)]
    median = np.median(scores, axis=0)  # so that the head is always right
    labelled = [
        study(
            name[:-2], volumes=[name], labels=dict(zip(ABNORMALITIES, (row > median).tolist(), strict=True))
        )
        for name, row in zip(names, scores, strict=True)
    ]
    fill(
        engine,
        labelled,
        volumes=dict(zip(names, latents, strict=True)),
        collection="net",
        encoder=str(tmp_path / "net"),
        encoder_digest=encoder.digest,
        dim=encoder.latent_dim,
    )
    done = ctsearch("evaluate", "detection", "--collection", "net", "--json")
    assert done.code == 0, done.err
    assert done.json["mean"]["auroc"] == 1.0
    assert not done.json["prompts"]


def test_a_ct_net_is_indexed_without_reports_and_words_find_what_reports_say(
    ctsearch: Command, engine: Engine, tmp_path: Path
) -> None:
    done = ctsearch("index", "3:7", "--format", "phantom", "--encoder", save_net(tmp_path / "net"), "--json")
    assert done.code == 0, done.err
    assert done.json["indexed"] > 3
    assert "cannot read text" in done.err or "cannot read text" in done.out
    listed = ctsearch("collections", "list", "--json").json["collections"][0]
    assert (listed["reports"], listed["latent_dim"]) == (0, 13)
    found = ctsearch("search", "--case", "phantom_7_1_a_1", "--json")
    assert found.code == 0, found.err
    assert found.json["hits"]
    in_words = ctsearch("search", "--text", "lung nodule", "--json")
    assert in_words.code == 0, in_words.err
