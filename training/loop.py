"""The training loop: one process, one device, the same steps every time for the same run."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from encoders.ct_clip import CtClip
from encoders.errors import CtsearchError
from training.contrastive import contrastive_loss, prompt_loss
from training.data import Batch, PromptTokens
from training.runs import ContrastiveRun
from training.schedule import warmed_cosine

_log = logging.getLogger(__name__)


def batch_loss(model: CtClip, batch: Batch, prompts: PromptTokens, run: ContrastiveRun) -> Tensor:
    """The losses of whole reports, short texts and prompts, all against the same volume latents."""
    volume_BL = model.volume_latents(batch.volume_BCDHW)
    report_BL = model.report_latents(batch.report_ids_BT, batch.report_mask_BT)
    loss = contrastive_loss(volume_BL, report_BL, model.log_temperature, batch.report_matches_BB)
    if run.short_weight:
        short_BL = model.report_latents(batch.short_ids_BT, batch.short_mask_BT)
        short = contrastive_loss(volume_BL, short_BL, model.log_temperature, batch.short_matches_BB)
        loss = loss + run.short_weight * short
    if run.prompt_weight:
        prompt_PL = model.report_latents(prompts.ids_PT, prompts.mask_PT)
        detection = prompt_loss(volume_BL, prompt_PL, model.log_temperature, batch.labels_BC)
        loss = loss + run.prompt_weight * detection
    return loss


def make_optimizers(model: CtClip, run: ContrastiveRun) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the volume's side, AdamW for all else.

    Voxels share one strong direction, what all chests have in common, and Adam's steps follow it. Muon's are
    orthogonal, so that directions in which patients differ are learnt as fast (figures: docs/phantom.md).
    """
    volume = {id(p): p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("volume_")}
    rest = [p for p in model.parameters() if id(p) not in volume]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": run.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},  # gains, biases, the temperature
    ]
    muon = torch.optim.Muon(
        list(volume.values()),
        lr=run.muon_rate,
        weight_decay=run.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    optimizers = [muon, torch.optim.AdamW(groups, lr=run.peak_rate)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_rate"] = group["lr"]
    return optimizers


def train_step(
    model: CtClip,
    batch: Batch,
    prompts: PromptTokens,
    *,
    optimizers: Sequence[torch.optim.Optimizer],
    run: ContrastiveRun,
) -> float:
    """One step of the optimisers; it neither logs nor saves.

    Returns:
        The loss before the step.

    Raises:
        CtsearchError: the loss or a gradient is not finite.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss = batch_loss(model, batch, prompts, run)
    loss.backward()  # type: ignore[no-untyped-call]
    try:
        nn.utils.clip_grad_norm_(model.parameters(), run.max_grad_norm, error_if_nonfinite=True)
    except RuntimeError as error:
        raise CtsearchError(
            f"the loss is {loss.item():.4g} and its gradient is not finite; lower the learning rate"
        ) from error
    for optimizer in optimizers:
        optimizer.step()
    return float(loss.item())


def train(
    model: CtClip,
    batches: Iterable[Batch],
    prompts: Sequence[PromptTokens],
    run: ContrastiveRun,
    *,
    keep: Callable[[CtClip], None] | None = None,
) -> list[float]:
    """Train a model in place.

    Args:
        model: changed; left in evaluation mode.
        batches: at least `run.steps` of them.
        prompts: by template; the steps take them in turn.
        run: the numbers of the training.
        keep: called whenever a line is logged, to save what there is.

    Returns:
        The loss of every step.

    Raises:
        CtsearchError: the loss stopped being finite.
    """
    optimizers = make_optimizers(model, run)
    losses: list[float] = []
    began = time.monotonic()
    with torch.no_grad():
        model.log_temperature.fill_(run.log_temperature)
    model.train()
    for step, batch in zip(range(run.steps), batches, strict=False):
        share = warmed_cosine(step, steps=run.steps, warm_up=run.warm_up, floor=0.01)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = share * group["peak_rate"]
        losses.append(train_step(model, batch, prompts[step % len(prompts)], optimizers=optimizers, run=run))
        if (step + 1) % run.log_every == 0 or step + 1 == run.steps:
            recent = losses[-run.log_every :]
            rate = (step + 1) * run.batch_size / (time.monotonic() - began)
            _log.info(
                "step %d of %d: loss %.4f, %.1f pairs/s", step + 1, run.steps, sum(recent) / len(recent), rate
            )
            if keep is not None:
                keep(model)
    model.eval()
    return losses
