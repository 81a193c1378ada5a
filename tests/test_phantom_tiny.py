"""The built-in encoder finds phantoms that it was not trained on. No figure here is a clinical one."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import encoders
from cli.train import app
from encoders.encoder import Encoder, load_encoder
from encoders.errors import ConfigError
from retrieval.datasets.phantom import TRAINING_SEEDS
from training.contrastive_runs import phantom
from training.phantom_evaluation import EncodedCohort, encode_cohort, mean_figures, score_cohort

UNKNOWN_TOKEN = 1  # of the shipped tokeniser


@lru_cache(maxsize=1)
def shipped() -> Encoder:
    return load_encoder("phantom-tiny")


@lru_cache(maxsize=1)
def unseen_cohort() -> EncodedCohort:
    return encode_cohort(shipped(), 200, 203)


def test_the_shipped_files_are_small_and_those_of_the_documented_run() -> None:
    directory = Path(encoders.__file__).parent / "builtin" / "phantom-tiny"
    assert sum(path.stat().st_size for path in directory.iterdir()) <= 10_000_000
    run = phantom().model
    assert shipped().grid == run.volume.grid
    assert shipped().latent_dim == run.latent_dim


def test_the_tokeniser_spells_what_reports_of_other_hospitals_say() -> None:
    directory = Path(encoders.__file__).parent / "builtin" / "phantom-tiny"
    from encoders.reports import ReportTokenizer

    tokenizer = ReportTokenizer.from_path(directory)
    ids = tokenizer.tokenise(["Sarcoidosis with crazy paving; 7x8 mm, s/p lobectomy (1998)?"], 128).token_ids
    assert UNKNOWN_TOKEN not in ids


@pytest.mark.slow
def test_reports_find_their_volumes_and_volumes_their_like() -> None:
    figures = score_cohort(unseen_cohort())
    assert figures.recall_10 >= 0.50
    assert figures.recall_10_random == pytest.approx(0.05)
    assert figures.overlap_10 >= 1.8 * figures.overlap_10_random


@pytest.mark.slow
def test_the_encoder_lies_between_one_that_knows_the_labels_and_one_that_sees_only_nuisance() -> None:
    figures = score_cohort(unseen_cohort())
    assert figures.overlap_10_nuisance < figures.overlap_10 < figures.overlap_10_labels
    gained = figures.overlap_10 - figures.overlap_10_nuisance
    assert gained > 0.25 * (figures.overlap_10_labels - figures.overlap_10_nuisance)
    assert figures.overlap_10_nuisance < 1.25 * figures.overlap_10_random


@pytest.mark.slow
def test_prompts_tell_what_is_present_from_what_is_not() -> None:
    scores = unseen_cohort().auroc
    assert np.nanmean(list(scores.values())) > 0.7
    assert scores["Pleural effusion"] > 0.85
    assert scores["Cardiomegaly"] > 0.85


def test_figures_of_training_phantoms_are_refused() -> None:
    with pytest.raises(ConfigError, match="trained on"):
        encode_cohort(shipped(), 20, TRAINING_SEEDS.start)


def test_the_mean_over_cohorts_is_that_of_each_figure() -> None:
    rng = np.random.default_rng(0)
    cohorts = [
        EncodedCohort(
            volume_latents=rng.normal(size=(20, 4)),
            report_latents=rng.normal(size=(20, 4)),
            volume_study=np.arange(20),
            report_study=np.arange(20),
            labels=rng.random((20, 18)) < 0.3,
            nuisance=rng.normal(size=(20, 3)),
            auroc={"Atelectasis": 0.5 + 0.1 * n, "Emphysema": float("nan")},
        )
        for n in range(2)
    ]
    mean = mean_figures([score_cohort(cohort) for cohort in cohorts])
    assert mean.zero_shot_auroc == pytest.approx(0.55)
    assert mean.recall_10_random == pytest.approx(0.5)


def test_the_command_prints_one_json_document_that_says_it_is_about_phantoms() -> None:
    result = CliRunner().invoke(app, ["phantom-figures", "--scans", "20", "--seed", "5", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["phantoms_only"] is True
    assert document["seeds"] == [5]
    assert 0 <= document["figures"]["recall_10"] <= 1


def test_the_same_volume_gives_the_same_latent() -> None:
    volume = torch.zeros(1, 1, 48, 96, 96)
    assert torch.equal(shipped().encode_volumes(volume), shipped().encode_volumes(volume))
