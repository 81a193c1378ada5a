"""VocabFine, ClassFine and CT-Net on the shared loop: they learn, however their batches are divided."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from encoders.ct_clip import CtClip
from encoders.encoder import load_encoder
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import read_card
from encoders.model_directory import read_model
from tests.command import Command
from tests.processes import finish_all, together
from tests.small_contrastive import CONFIG, TOKENIZER
from tests.small_supervised import (
    CLASSFINE,
    CT_NET,
    SCENARIOS,
    VOCABFINE,
    AnyRun,
    Supervised,
    blocks_of,
    objective_of,
    one_step,
    plain,
)
from tests.test_ct_net import TINY, save_net
from tests.tiny_model import write_tiny_model
from training.distributed import Place
from training.examples import PairExamples, open_training_source, read_examples
from training.labelled import LabelCollation
from training.loop import fit
from training.stream import Stream
from training.supervised import SupervisedObjective
from training.supervised_runs import SupervisedRun, with_data_of
from training.towers import new_model
from training.vocabfine import VocabFineObjective
from training.volume_cache import VolumeCache

TOLERANCE = 1e-5
RUNS: dict[str, AnyRun] = {
    "bce": VOCABFINE,
    "mse": replace(VOCABFINE, loss="mse"),
    "projections": replace(VOCABFINE, trains="projections"),
    "lora": replace(VOCABFINE, trains="lora"),
    "classfine": CLASSFINE,
    "head": replace(CLASSFINE, trains="head", peak_rate=0.3),
    "ct-net": CT_NET,
}
LEARNS = {
    "projections": {"volume_projection", "report_projection", "log_temperature"},
    "classfine": {"volume_tower", "volume_projection", "class_head"},
    "head": {"class_head"},
}


def train(objective: Supervised, run: SupervisedRun, folder: Path, *, resume: bool = False) -> list[float]:
    """The losses of all steps."""
    blocks, place = blocks_of(objective), Place()
    collation = LabelCollation(blocks.grid)
    stream = Stream(blocks, collation, batch_size=run.batch_size, seed=run.seed, place=place)
    fit(objective, stream, run, place, folder, resume=resume)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("name", ["bce", "mse", "classfine", "head"])
def test_the_loss_falls(name: str, tmp_path: Path) -> None:
    losses = train(objective_of(RUNS[name], Place(), plain()), RUNS[name], tmp_path)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


@pytest.mark.parametrize("name", LEARNS)
def test_what_is_not_trained_stays(name: str, tmp_path: Path) -> None:
    run = replace(RUNS[name], steps=2)
    objective = objective_of(run, Place(), plain())
    before = {name: weight.clone() for name, weight in objective.model.state_dict().items()}
    train(objective, run, tmp_path)
    learning = {name for name, weight in objective.model.named_parameters() if weight.requires_grad}
    assert {weight.partition(".")[0] for weight in learning} == LEARNS[name]
    moved = {n for n, tensor in objective.model.state_dict().items() if not torch.equal(tensor, before[n])}
    assert moved
    assert moved <= learning


def assert_equal_steps(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name] - tensor).abs().max().item() <= TOLERANCE, name


@pytest.mark.parametrize("name", ["bce", "mse", "lora", "classfine", "head"])
def test_chunks_of_volumes_and_of_prompts_change_nothing(name: str) -> None:
    """Codebook and dropout are on; CT-Net is the exception, by its BatchNorm."""
    run = RUNS[name]
    whole = one_step(run, Place())
    assert max(tensor.abs().max() for tensor in whole.values()) > 100 * TOLERANCE
    assert (whole["moved rows"].abs().max() > 100 * TOLERANCE) == (name in ("bce", "mse", "classfine"))
    parts = {"chunk_size": 3, "recompute": True} | ({"prompts_at_once": 36} if name in ("bce", "mse") else {})
    assert_equal_steps(one_step(replace(run, **parts), Place()), whole)
    other = one_step(replace(run, seed=1), Place())
    if name != "head":
        assert (other["loss"] - whole["loss"]).abs() > TOLERANCE  # other masks: dropout was drawn


@pytest.mark.slow
def test_two_processes_together_take_the_step_of_one(tmp_path: Path) -> None:
    finish_all(together(2, "tests.small_supervised", tmp_path))
    for scenario, (_, run) in SCENARIOS.items():
        expected = one_step(replace(run, chunk_size=None), Place())
        for rank in (0, 1):
            assert_equal_steps(torch.load(tmp_path / f"{scenario} {rank}.pt", weights_only=True), expected)


def _fails_after(steps: int) -> Callable[[], None]:
    """What stands for a power cut."""
    left = iter(range(steps))

    def step() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return step


@pytest.mark.parametrize("name", ["lora", "classfine", "ct-net"])
def test_a_resumed_training_ends_as_one_that_was_not_stopped(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(RUNS[name], steps=6, save_every=2)
    train(whole := objective_of(run, Place(), plain()), run, tmp_path / "whole")
    torn = objective_of(run, Place(), plain())
    monkeypatch.setattr(torn, "finish_step", _fails_after(3))
    with pytest.raises(KeyboardInterrupt):
        train(torn, run, tmp_path / "torn")
    train(resumed := objective_of(run, Place(), plain()), run, tmp_path / "torn", resume=True)
    for weight, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[weight], tensor), weight


def test_a_training_refuses_a_model_that_lacks_what_it_trains() -> None:
    with pytest.raises(ConfigError, match="this model has none"):
        SupervisedObjective(new_model(CONFIG, 0), torch.ones(18), CLASSFINE, Place())
    with pytest.raises(ConfigError, match="has no report tower"):
        VocabFineObjective(CtClip(replace(CONFIG, report=None)), TOKENIZER, VOCABFINE, Place())
    with pytest.raises(ConfigError, match="3 volumes do not fill a batch of 8"):
        with_data_of(VOCABFINE, 3)
    assert with_data_of(replace(VOCABFINE, epochs=3), 20).steps == 3 * 2


def test_the_checkpoint_of_another_run_is_not_gone_on_from(tmp_path: Path) -> None:
    run = replace(CLASSFINE, steps=1)
    train(objective_of(run, Place()), run, tmp_path)
    other = replace(run, trains="head")
    with pytest.raises(CheckpointError, match="with trains"):
        train(objective_of(other, Place()), other, tmp_path, resume=True)


@pytest.fixture
def ctsearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "home"))
    return Command(capsys, monkeypatch)


def phantoms(out: Path, *more: object) -> list[object]:
    """Options of a training on a few phantoms."""
    return [
        "--run",
        "phantom",
        "--data",
        "9:1000002",
        "--batch-size",
        4,
        "--epochs",
        1,
        "--workers",
        0,
        "--out",
        out,
        *more,
    ]


def test_vocabfine_is_trained_merged_and_mixed_by_one_command(ctsearch: Command, tmp_path: Path) -> None:
    init, out = write_tiny_model(tmp_path / "tiny"), tmp_path / "fine"
    options = phantoms(out, "--init", init.directory, "--trains", "lora", "--wise-ft", 0, "--wise-ft", 0.5)
    done = ctsearch("train", "vocabfine", *options)
    assert done.code == 0, done.err
    before, after = read_model(init), read_model(read_card(out))
    assert after.tensors.keys() == before.tensors.keys()  # no adapter is left
    name = "volume_tower.spatial.layers.0.attention.to_query.weight"
    assert not torch.equal(after.tensors[name], before.tensors[name])
    half = read_model(read_card(tmp_path / "fine-alpha0.5")).tensors[name]
    torch.testing.assert_close(half, (before.tensors[name] + after.tensors[name]) / 2)
    assert load_encoder(tmp_path / "fine-alpha0").digest == init.digest
    assert load_encoder(out).can_read_text


def test_classfine_keeps_the_words_and_gains_a_head(ctsearch: Command, tmp_path: Path) -> None:
    init, out = write_tiny_model(tmp_path / "tiny"), tmp_path / "fine"
    done = ctsearch("train", "classfine", *phantoms(out, "--init", init.directory, "--held-out", "4:1000003"))
    assert done.code == 0, done.err
    last = json.loads((tmp_path / "fine.training" / "log.jsonl").read_text().splitlines()[-1])
    assert 0 <= last["evaluation/auroc"] <= 1
    encoder = load_encoder(out)
    assert encoder.has_head
    assert encoder.can_read_text
    words = ["Lung nodule is present."]
    torch.testing.assert_close(
        encoder.encode_reports(words), load_encoder(init.directory).encode_reports(words)
    )
    again = ctsearch("train", "classfine", *phantoms(out, "--init", init.directory))
    assert again.code == 2
    assert "exists already" in again.err


def test_a_ct_net_learns_a_few_phantoms(tmp_path: Path) -> None:
    """The grid has six slices, the net a few thousand weights: enough to tell these sixteen chests apart."""
    cases = islice(open_training_source("20:1000002"), 10)
    examples = read_examples(cases, needs="labels")[:16]
    run = replace(CT_NET, steps=40, peak_rate=4e-3, model=replace(TINY, dropout=0.0))
    objective = objective_of(run, Place())
    cache = VolumeCache(folder=tmp_path / "volumes", grid=TINY.grid)
    pairs = PairExamples(examples, cache, short_texts=False)
    stream = Stream(pairs, LabelCollation(TINY.grid), batch_size=8, seed=0, place=Place())
    fit(objective, stream, run, Place(), tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_models_that_a_training_cannot_start_from_are_refused_in_one_sentence(
    ctsearch: Command, tmp_path: Path
) -> None:
    net = save_net(tmp_path / "net")
    silent = write_tiny_model(tmp_path / "silent", reads_text=False).directory
    notes = tmp_path / "notes.pth"
    notes.write_text("not weights")
    for kind, options, why in (
        ("vocabfine", phantoms(tmp_path / "a", "--init", net), "is a CT-Net where a CT-CLIP"),
        ("vocabfine", phantoms(tmp_path / "a", "--init", silent), "has no tokeniser"),
        ("vocabfine", ["--run", "published", "--data", "9:1000002", "--out", tmp_path / "a"], "--init"),
        ("classfine", phantoms(tmp_path / "a", "--init", tmp_path / "nowhere"), "no encoder"),
        ("classfine", phantoms(tmp_path / "a", "--wise-ft", 1.5), "from 0 to 1"),
        ("ct-net", phantoms(tmp_path / "a", "--init", silent), "is a CT-CLIP where a CT-Net"),
        ("ct-net", phantoms(tmp_path / "a", "--init", notes), "no checkpoint"),
        ("ct-net", ["--run", "published", "--out", tmp_path / "a"], "give --data"),
        ("ct-net", ["--run", "quick", "--out", tmp_path / "a"], "no run of CT-Net training"),
    ):
        done = ctsearch("train", kind, *options)
        assert done.code == 2, (kind, options, done.err)
        assert why in done.err
        assert done.err.strip().splitlines()[-1].startswith("ctsearch: ")
    assert not (tmp_path / "a").exists()
