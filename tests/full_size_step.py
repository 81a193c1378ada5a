"""One training step of the full-size model on two random volumes; run as a module it prints what it took."""

import json
import resource
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from encoders.abnormalities import ABNORMALITIES
from training.batches import Batch
from training.contrastive_objective import ContrastiveObjective
from training.contrastive_runs import ct_clip_plus
from training.distributed import Place
from training.facts import UNKNOWN, Facts
from training.loop import train_step
from training.optimizers import Optimizers
from training.stream import Share
from training.towers import new_model


def two_random_pairs() -> Batch:
    """Volumes of the published grid, and reports of 512 tokens."""
    torch.manual_seed(0)
    ids = torch.randint(5, 30_000, (2, 512))
    unknown = torch.full((2, len(ABNORMALITIES)), UNKNOWN)
    return Batch(
        volume_BCDHW=torch.rand(2, 1, 240, 480, 480) * 2 - 1,
        report_ids_BT=ids,
        report_mask_BT=torch.ones_like(ids),
        short_ids_BT=ids[:, :8],
        short_mask_BT=torch.ones_like(ids[:, :8]),
        facts=Facts(
            present_B=torch.ones(2, dtype=torch.bool),
            study_B=torch.arange(2),
            report_B=torch.arange(2),
            labels_BC=unknown,
            says_BC=unknown,
            general_B=torch.zeros(2, dtype=torch.bool),
        ),
    )


def main() -> None:
    """Take the step."""
    run = replace(ct_clip_plus(), batch_size=2, chunk_size=None, warm_up=0, prompt_weight=0.0)
    model = new_model(run.model, run.seed)
    rows = model.volume_tower.codebook.rows.clone()
    objective = ContrastiveObjective(model, run, Place(), [])
    optimizers = Optimizers(objective.parameter_groups())
    before = {name: weight.detach().double().sum().item() for name, weight in model.named_parameters()}
    model.train()
    began = time.monotonic()
    figures = train_step(objective, optimizers, Share(0, two_random_pairs(), ()), run, Place())
    seconds = time.monotonic() - began
    moved = sum(w.detach().double().sum().item() != before[name] for name, w in model.named_parameters())
    outcome = {
        **figures,
        "seconds": seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "weights": len(before),
        "weights_moved": moved,
        "rows_moved": int((model.volume_tower.codebook.rows != rows).any(1).sum()),
        "width": model.volume_tower.codebook.rows.shape[1],
        "finite": bool(np.isfinite(figures["gradient_norm"])),
    }
    sys.stdout.write(json.dumps(outcome) + "\n")


if __name__ == "__main__":
    main()
