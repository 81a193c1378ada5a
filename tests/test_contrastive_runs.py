"""The named runs of contrastive training, and what may be changed of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from encoders.errors import ConfigError
from training.contrastive_runs import (
    CONTRASTIVE_RUNS,
    contrastive_run,
    phantom,
    without_parts,
)
from training.distributed import Place
from training.runs import changed
from training.schedule import warmed_cosine
from training.train_contrastive import train_contrastive
from training.whole_training import Options


def test_the_published_run_has_the_published_numbers() -> None:
    run = contrastive_run("published")
    assert (run.peak_rate, run.betas, run.weight_decay) == (1.25e-6, (0.9, 0.99), 0.0)
    assert (run.max_grad_norm, run.steps, run.negatives_within) == (0.5, 100_001, 8)
    assert (run.sections, run.data_share, run.optimization) == ("findings", 0.8, "adam")
    assert (run.equal_reports_match, run.log_temperature, run.most_log_temperature) == (False, 1.0, None)
    assert {
        warmed_cosine(step, steps=run.steps, warm_up=run.warm_up, floor=run.rate_floor)
        for step in (0, 1000, 100_000)
    } == {1.0}
    paper = contrastive_run("ct-clip")
    assert (paper.sections, paper.data_share, paper.negatives_within) == ("both", 1.0, None)


def test_runs_on_phantoms_see_the_same_model_and_as_many_volumes() -> None:
    ours, theirs = contrastive_run("phantom"), contrastive_run("phantom-published")
    assert (ours.model, ours.data, ours.steps * ours.batch_size) == (
        theirs.model,
        theirs.data,
        theirs.steps * theirs.batch_size,
    )
    assert (theirs.peak_rate, theirs.sections) == (1.25e-6, "findings")


def test_an_ablation_takes_out_one_part_and_leaves_the_rest() -> None:
    run = contrastive_run("phantom")
    assert changed(run) == run
    assert without_parts(run, ["prompts"]) == replace(run, prompt_weight=0.0)
    assert without_parts(run, ["muon", "all-negatives"]) == replace(
        run, optimization="adamw", negatives_within=8
    )
    assert changed(run, data_share=0.2, sections="impression", frozen="towers") == replace(
        run, data_share=0.2, sections="impression", frozen="towers"
    )


@pytest.mark.parametrize(
    "change", [{"data_share": 0.0}, {"data_share": 1.2}, {"sections": "all"}, {"steps": 0}]
)
def test_numbers_that_make_no_run_are_refused(change: dict) -> None:
    with pytest.raises(ConfigError):
        replace(phantom(), **change)
    with pytest.raises(ConfigError, match="choose --batch-size so"):
        replace(contrastive_run("published"), batch_size=12)


def test_an_unknown_run_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=f"there is {', '.join(CONTRASTIVE_RUNS)}"):
        contrastive_run("phantoms")
    with pytest.raises(ConfigError, match="give --data"):
        train_contrastive(contrastive_run("published"), Path("nowhere"), Place(), Options())
