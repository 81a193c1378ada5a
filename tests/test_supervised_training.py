"""VocabFine, ClassFine and CT-Net on the shared loop: they learn, however their batches are divided."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from encoders.class_head import ClassHead
from encoders.config import ClassHeadConfig
from encoders.ct_clip import CtClip
from encoders.ct_net import CtNet
from encoders.encoder import build_model
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import read_card
from encoders.model_directory import read_model
from encoders.reports import ReportTokenizer
from tests.labelled_blocks import Blocks
from tests.test_ct_net import TINY
from tests.tiny_model import write_tiny_model
from training.distributed import Place
from training.labelled import LabelCollation, LabelledBatch
from training.lora import add_lora
from training.loop import fit
from training.objective import Objective
from training.stream import Stream
from training.supervised import SupervisedObjective
from training.supervised_runs import ClassFineRun, CtNetRun, SupervisedRun, VocabFineRun
from training.vocabfine import VocabFineObjective

NUMBERS = {"epochs": 1, "steps": 30, "batch_size": 8, "peak_rate": 5e-3, "warm_up": 3, "log_every": 1, "save_every": 10}
VOCABFINE = VocabFineRun(name="blocks", **NUMBERS)
CLASSFINE = ClassFineRun(name="blocks", **NUMBERS)
CT_NET = CtNetRun(name="blocks", model=TINY, **NUMBERS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny").directory


def clip(tiny: Path, *, head: bool = False) -> CtClip:
    """The tiny CT-CLIP, whose temperature is one that tells sentences apart."""
    model = build_model(read_model(read_card(tiny)))
    with torch.no_grad():
        model.log_temperature.fill_(2.5)
    if head:
        torch.manual_seed(4)
        model.class_head = ClassHead(model.config.latent_dim, ClassHeadConfig())
    return model


def vocabfine(tiny: Path, run: VocabFineRun) -> VocabFineObjective:
    model = clip(tiny)
    if run.trains == "lora":
        torch.manual_seed(0)
        add_lora(model, rank=run.lora_rank, alpha=run.lora_alpha)
    return VocabFineObjective(model, ReportTokenizer.from_path(read_card(tiny).tokenizer_file), run, Place())


def classfine(tiny: Path, run: ClassFineRun) -> SupervisedObjective:
    return SupervisedObjective(clip(tiny, head=True), torch.ones(18), run, Place())


def ct_net(_: Path, run: CtNetRun) -> SupervisedObjective:
    torch.manual_seed(0)
    return SupervisedObjective(CtNet(run.model), torch.ones(18), run, Place())


def grid_of(objective: Objective) -> object:
    return objective.model.config.grid


def train(objective: Objective, run: SupervisedRun, folder: Path, *, resume: bool = False) -> list[float]:
    """The losses of all steps."""
    blocks = Blocks(grid_of(objective))
    stream = Stream(blocks, LabelCollation(blocks.grid), batch_size=run.batch_size, seed=run.seed, place=Place())
    fit(objective, stream, run, Place(), folder, resume=resume)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def a_batch(objective: Objective, unreadable: frozenset[int] = frozenset()) -> LabelledBatch:
    blocks = Blocks(grid_of(objective), unreadable=unreadable)
    items = [None if index in unreadable else blocks.load(index, 0) for index in (3, 6, 9, 12)]
    return LabelCollation(blocks.grid)(items)


def gradients(objective: Objective, batch: LabelledBatch) -> dict[str, torch.Tensor]:
    objective.parameter_groups()
    objective.model.train()
    objective.backward(batch, 0)
    return {name: w.grad.clone() for name, w in objective.model.named_parameters() if w.grad is not None}


CASES: list[tuple[Callable, SupervisedRun]] = [
    (vocabfine, VOCABFINE),
    (vocabfine, replace(VOCABFINE, loss="mse")),
    (vocabfine, replace(VOCABFINE, trains="projections")),
    (vocabfine, replace(VOCABFINE, trains="lora")),
    (classfine, replace(CLASSFINE, peak_rate=2e-2)),
    (classfine, replace(CLASSFINE, trains="head", peak_rate=1e-1)),
    (ct_net, CT_NET),
]
NAMES = ["bce", "mse", "projections", "lora", "classfine", "head", "ct-net"]


@pytest.mark.parametrize(("make", "run"), CASES, ids=NAMES)
def test_the_loss_falls_and_what_is_not_trained_stays(make, run, tiny: Path, tmp_path: Path) -> None:
    objective = make(tiny, run)
    before = {name: w.clone() for name, w in objective.model.named_parameters()}
    losses = train(objective, run, tmp_path)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    for name, weight in objective.model.named_parameters():
        moved = not torch.equal(weight, before[name])
        assert weight.requires_grad or not moved, name
    trained = {name.split(".")[0] for name, w in objective.model.named_parameters() if w.requires_grad}
    if run in (CASES[2][1], CASES[5][1]):
        wanted = {"class_head"} if make is classfine else {"volume_projection", "report_projection", "log_temperature"}
        assert trained == wanted


@pytest.mark.parametrize(("make", "run"), CASES[:6], ids=NAMES[:6])
def test_a_batch_in_chunks_has_the_gradient_of_the_whole(make, run, tiny: Path) -> None:
    """Dropout is on in the report tower and in the head; CT-Net's BatchNorm makes it the exception."""
    whole = gradients(objective := make(tiny, run), a_batch(objective))
    parts = gradients(
        objective := make(tiny, replace(run, chunk_size=1, **({"prompts_at_once": 5} if make is vocabfine else {}))),
        a_batch(objective),
    )
    assert whole.keys() == parts.keys()
    assert max(gradient.abs().max() for gradient in whole.values()) > 0
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("make", "run"), [CASES[0], CASES[4]], ids=["bce", "classfine"])
def test_a_volume_that_could_not_be_read_has_no_weight(make, run, tiny: Path) -> None:
    objective = make(tiny, run)
    with_gap = a_batch(objective, frozenset({9, 12}))
    found = gradients(objective, with_gap)
    alone = gradients(objective := make(tiny, run), a_batch(objective).part(slice(0, 2), torch.device("cpu")))
    for name, gradient in alone.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("make", "run"), [CASES[3], CASES[4], CASES[6]], ids=["lora", "classfine", "ct-net"])
def test_a_resumed_training_ends_as_one_that_was_not_stopped(make, run, tiny: Path, tmp_path: Path) -> None:
    run = replace(run, steps=12, save_every=5)
    train(whole := make(tiny, run), run, tmp_path / "whole")
    stopped = make(tiny, run)
    blocks = Blocks(grid_of(stopped))
    stream = Stream(blocks, LabelCollation(blocks.grid), batch_size=8, seed=0, place=Place())
    with pytest.raises(KeyboardInterrupt):
        fit(_StoppedAt(stopped, 8), stream, run, Place(), tmp_path / "torn")
    train(resumed := make(tiny, run), run, tmp_path / "torn", resume=True)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


class _StoppedAt:
    """An objective that a person interrupts."""

    def __init__(self, objective: Objective, step: int) -> None:
        self._objective, self._step = objective, step

    def __getattr__(self, name: str) -> object:
        return getattr(self._objective, name)

    def backward(self, batch: LabelledBatch, step: int) -> object:
        if step == self._step:
            raise KeyboardInterrupt
        return self._objective.backward(batch, step)


def test_the_codebook_moves_with_all_weights_and_stays_with_projections(tmp_path: Path) -> None:
    pass


def test_a_training_refuses_a_model_that_lacks_what_it_trains(tiny: Path) -> None:
    with pytest.raises(ConfigError, match="this model has none"):
        SupervisedObjective(clip(tiny), torch.ones(18), CLASSFINE, Place())
    silent = clip(tiny)
    silent.config = replace(silent.config, report=None)
    with pytest.raises(ConfigError, match="has no report tower"):
        VocabFineObjective(silent, ReportTokenizer.from_path(read_card(tiny).tokenizer_file), VOCABFINE, Place())


def test_the_checkpoint_of_another_run_is_not_gone_on_from(tiny: Path, tmp_path: Path) -> None:
    run = replace(CLASSFINE, steps=2)
    train(classfine(tiny, run), run, tmp_path)
    with pytest.raises(CheckpointError, match="with --resume"):
        train(classfine(tiny, run), run, tmp_path)
    with pytest.raises(CheckpointError, match=r"trains"):
        train(classfine(tiny, run), replace(run, trains="head"), tmp_path, resume=True)


def heads(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
