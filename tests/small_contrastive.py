"""A CT-CLIP of a few thousand weights with codebook and dropout, eight pairs, and one step of its training.

Run as a module it is one process of several, which writes what each scenario gives.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from encoders.abnormalities import ABNORMALITIES, PROMPTS
from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.ct_clip import CtClip
from encoders.errors import VolumeError
from encoders.reports import ReportSections
from training.batches import Batch, Pair, PairCollation, PromptTokens, prompt_tokens
from training.checkpoint import whole_tensors
from training.contrastive_objective import ContrastiveObjective
from training.contrastive_runs import ContrastiveRun
from training.distributed import Place, Sharding, training_place
from training.loop import fit
from training.short_texts import ShortText
from training.stream import Stream
from training.towers import new_model
from training.vocabulary import learn_vocabulary

PAIRS, STEP = 8, 3
WORDS = [
    "A nodule of 7 mm in the left lobe.",
    "Bilateral effusion, more on the left.",
    "The heart is enlarged.",
]
TOKENIZER = learn_vocabulary(WORDS * 4, 600)

CONFIG = CtClipConfig(
    volume=VolumeEncoderConfig(
        image_px=16,
        slices=8,
        patch_px=4,
        patch_slices=2,
        width=24,
        spatial_depth=2,
        temporal_depth=1,
        heads=2,
        head_width=8,
        codebook_size=32,
    ),
    report=ReportEncoderConfig(
        vocabulary=TOKENIZER.vocabulary,
        width=16,
        layers=2,
        heads=2,
        feed_forward=32,
        max_tokens=48,
        dropout=0.3,
    ),
    latent_dim=16,
)

RUN = ContrastiveRun(
    name="small",
    model=CONFIG,
    steps=6,
    batch_size=PAIRS,
    peak_rate=1e-3,
    optimization="muon",
    muon_rate=1e-3,
    weight_decay=0.05,
    short_weight=1.0,
    prompt_weight=2.0,
    log_temperature=2.0,
    log_every=1,
    save_every=2,
)

SCENARIOS: dict[str, tuple[Sharding, ContrastiveRun]] = {
    "ddp": ("ddp", RUN),
    "ddp, chunks of one": ("ddp", replace(RUN, chunk_size=1)),
    "fsdp": ("fsdp", RUN),
    "fsdp, chunks of one, recomputed": ("fsdp", replace(RUN, chunk_size=1, recompute=True)),
    "ddp, negatives within four": ("ddp", replace(RUN, negatives_within=4, equal_reports_match=False)),
    "fsdp, report tower frozen": ("fsdp", replace(RUN, frozen="report_tower")),
    "ddp, projections alone": ("ddp", replace(RUN, frozen="towers")),
}


def pair(index: int, epoch: int = 0) -> Pair | None:
    """Pairs 1 and 5 are of one scan, the reports of 2 and 6 have the same words, 3 cannot be read."""
    if index == 3:
        return None
    rng = np.random.default_rng([index, epoch])
    says = ((ABNORMALITIES[index % 3], False),) if index % 2 else None
    study = {5: 1}.get(index, index)
    said = {6: 2}.get(study, study)
    words = WORDS[said % 3]
    return Pair(
        volume_DHW=rng.uniform(-1, 1, CONFIG.volume.grid.shape).astype(np.float32),
        study=f"study {study}",
        report=ReportSections(findings=words * (1 + said % 2), impression=f"No. {said}."),
        short=ShortText(words if says is None else f"No {ABNORMALITIES[index % 3]}.", says),
        labels={name: bool(rng.random() < 0.4) for name in ABNORMALITIES[: 10 + index]},
    )


def collation() -> PairCollation:
    return PairCollation(tokenizer=TOKENIZER, max_tokens=48, grid=CONFIG.volume.grid)


def share(place: Place) -> Batch:
    """This process's pairs."""
    each = PAIRS // place.processes
    return collation()([pair(index) for index in range(place.rank * each, (place.rank + 1) * each)])


def prompts() -> list[PromptTokens]:
    return [prompt_tokens(TOKENIZER, 48, name) for name in PROMPTS]


def one_step(run: ContrastiveRun, place: Place) -> dict[str, Tensor]:
    """Loss, gradient of every weight, and the codebook after the step."""
    objective = ContrastiveObjective(new_model(CONFIG, 0), run, place, prompts())
    objective.model.train()
    figures = objective.backward(share(place), STEP)
    gradients = {
        f"gradient of {name}": whole(weight.grad)
        for name, weight in objective.model.named_parameters()
        if weight.grad is not None
    }
    before = whole_tensors(objective.model)["volume_tower.codebook.rows"].clone()
    objective.finish_step()
    after = whole_tensors(objective.model)
    return {
        "loss": torch.tensor(figures["loss"]),
        **gradients,
        "moved rows": after["volume_tower.codebook.rows"] - before,
        "counts": after["volume_tower.codebook.counts"],
    }


def whole(gradient: Tensor) -> Tensor:
    return (gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient).clone()


@dataclass(frozen=True)
class SmallPairs:
    """A hundred and twenty pairs, of which number 3 cannot be read."""

    def __len__(self) -> int:
        return 120

    def name(self, index: int) -> str:
        return f"volume {index}"

    def load(self, index: int, epoch: int) -> Pair:
        found = pair(index, epoch)
        if found is None:
            raise VolumeError("volume 3 is torn")
        return found


def fit_small(folder: Path, place: Place, run: ContrastiveRun = RUN, *, resume: bool = False) -> CtClip:
    """Train it for the steps of the run."""
    model = new_model(CONFIG, run.seed)
    objective = ContrastiveObjective(model, run, place, prompts())
    stream = Stream(SmallPairs(), collation(), batch_size=run.batch_size, seed=run.seed, place=place)
    fit(objective, stream, run, place, folder, resume=resume)
    return model


def main(arguments: Sequence[str]) -> None:
    """Take one step of every scenario, or fit with `--fit SHARDING STEPS`, in the folder that is named."""
    torch.set_num_threads(1)
    folder = Path(arguments[0])
    if "--fit" in arguments:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        sharding, steps = arguments[2:4]
        with training_place("cpu", sharding=sharding) as place:
            fit_small(folder, place, replace(RUN, steps=int(steps)), resume=True)
        return
    with training_place("cpu") as place:
        for name, (sharding, run) in SCENARIOS.items():
            found = one_step(run, replace(place, sharding=sharding))
            torch.save(found, folder / f"{name} {place.rank}.pt")
        half = one_step(RUN, replace(place, sharding="fsdp", dtype=torch.bfloat16))
        torch.save(half, folder / f"half {place.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1:])
