"""VocabFine, ClassFine and CT-Net of a few thousand weights, and one step of each.

Run as a module it is one process of several, which writes what each scenario gives.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from encoders.config import CtClipConfig
from encoders.ct_clip import CtClip
from encoders.ct_net import CtNet
from tests.labelled_blocks import Blocks
from tests.small_contrastive import CONFIG, TOKENIZER, whole
from tests.test_ct_net import TINY
from training.checkpoint import whole_tensors
from training.distributed import Place, Sharding, training_place
from training.labelled import LabelCollation, LabelledBatch
from training.lora import add_lora
from training.supervised import SupervisedObjective
from training.supervised_runs import ClassFineRun, CtNetRun, VocabFineRun
from training.towers import new_model
from training.vocabfine import VocabFineObjective

AnyRun = VocabFineRun | ClassFineRun | CtNetRun
COUNT, STEP = 8, 3
UNREADABLE = frozenset({3})
NUMBERS = {"name": "small", "epochs": 1, "batch_size": COUNT, "steps": 40, "peak_rate": 1e-2, "warm_up": 4}
VOCABFINE = VocabFineRun(**NUMBERS, log_every=1, save_every=5, lora_rank=4, lora_alpha=8)
CLASSFINE = ClassFineRun(**NUMBERS, log_every=1, save_every=5)
CT_NET = CtNetRun(**NUMBERS, log_every=1, save_every=5, model=TINY)

SCENARIOS: dict[str, tuple[Sharding, AnyRun]] = {
    "vocabfine, ddp": ("ddp", VOCABFINE),
    "vocabfine, fsdp, chunks of one": ("fsdp", replace(VOCABFINE, chunk_size=1, prompts_at_once=7)),
    "classfine, ddp": ("ddp", CLASSFINE),
    "classfine, fsdp, chunks of one": ("fsdp", replace(CLASSFINE, chunk_size=1)),
}

Supervised = VocabFineObjective | SupervisedObjective


def objective_of(run: AnyRun, place: Place, config: CtClipConfig = CONFIG) -> Supervised:
    """A fresh objective; it has a codebook, and dropout in the report tower and the head."""
    if isinstance(run, CtNetRun):
        torch.manual_seed(0)
        return SupervisedObjective(CtNet(run.model), torch.ones(18), run, place)
    if isinstance(run, ClassFineRun):
        weights = torch.linspace(1, 3, 18)
        model = new_model(replace(config, class_head=run.head), 0)
        return SupervisedObjective(model, weights, run, place)
    model = new_model(config, 0)
    if run.trains == "lora":
        add_lora(model, rank=run.lora_rank, alpha=run.lora_alpha)
    return VocabFineObjective(model, TOKENIZER, run, place)


def plain() -> CtClipConfig:
    """The dimensions without codebook and dropout, so that a few steps are enough to learn."""
    return replace(
        CONFIG,
        volume=replace(CONFIG.volume, codebook_size=0),
        report=replace(CONFIG.report, dropout=0.0),
    )


def blocks_of(objective: Supervised, unreadable: frozenset[int] = frozenset()) -> Blocks:
    return Blocks(objective.model.config.grid, unreadable=unreadable)


def share(objective: Supervised, place: Place, unreadable: frozenset[int] = UNREADABLE) -> LabelledBatch:
    """This process's volumes; one cannot be read."""
    each, blocks = COUNT // place.processes, blocks_of(objective)
    mine = range(place.rank * each, (place.rank + 1) * each)
    return LabelCollation(blocks.grid)([None if n in unreadable else blocks.load(2 * n, 0) for n in mine])


def one_step(run: AnyRun, place: Place, unreadable: frozenset[int] = UNREADABLE) -> dict[str, Tensor]:
    """Loss, gradient of every weight that learns, and how far the codebook's rows moved."""
    objective = objective_of(run, place)
    objective.model.train()
    figures = objective.backward(share(objective, place, unreadable), STEP)
    found = {
        name: whole(weight.grad)
        for name, weight in objective.model.named_parameters()
        if weight.grad is not None
    }
    if isinstance(objective.model, CtClip):
        before = whole_tensors(objective.model)["volume_tower.codebook.rows"].clone()
        objective.finish_step()
        found["moved rows"] = whole_tensors(objective.model)["volume_tower.codebook.rows"] - before
    return {"loss": torch.tensor(figures["loss"]), **found}


def main(arguments: Sequence[str]) -> None:
    """Write the outcome of every scenario to the folder that is named."""
    torch.set_num_threads(1)
    folder = Path(arguments[0])
    with training_place("cpu") as place:
        for name, (sharding, run) in SCENARIOS.items():
            torch.save(one_step(run, replace(place, sharding=sharding)), folder / f"{name} {place.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1:])
