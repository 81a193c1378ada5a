"""Fine-tunes a Hugging Face encoder to label reports: one plain loop."""

import logging
import random
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders.errors import CtsearchError
from encoders.transformer_labels import TransformerLabels, open_transformer
from training.label_runs import TransformerLabelRun
from training.schedule import warmed_cosine

_log = logging.getLogger(__name__)


def fit_transformer_labels(
    reports: Sequence[str],
    labels_NC: npt.NDArray[np.bool_],
    run: TransformerLabelRun,
    *,
    device: str,
    is_local: bool,
    told: Callable[[int], None] | None = None,
) -> TransformerLabels:
    """Fit the extractor.

    Args:
        reports: as written, N of them.
        labels_NC: (N, 18).
        run: every number of it.
        device: as torch names it.
        is_local: whether `run.base` is a directory.
        told: is told how many epochs are through.

    Raises:
        CheckpointError: the base cannot be opened.
        CtsearchError: the loss stopped being finite.
    """
    torch.manual_seed(run.seed)
    extractor = open_transformer(
        run.base, max_tokens=run.max_tokens, device=device, is_local=is_local, name=run.base
    )
    optimizer = torch.optim.AdamW(
        extractor.model.parameters(), lr=run.peak_rate, weight_decay=run.weight_decay
    )
    order = list(range(len(reports)))
    drawn = random.Random(run.seed)  # noqa: S311
    steps = run.epochs * -(-len(order) // run.batch_size)
    step = 0
    extractor.model.train()
    for epoch in range(run.epochs):
        drawn.shuffle(order)
        losses = []
        for start in range(0, len(order), run.batch_size):
            rows = order[start : start + run.batch_size]
            share = warmed_cosine(step, steps=steps, warm_up=int(run.warm_up_share * steps), floor=0.01)
            for group in optimizer.param_groups:
                group["lr"] = share * run.peak_rate
            losses.append(_step(extractor, [reports[row] for row in rows], labels_NC[rows], optimizer, run))
            step += 1
        _log.info("epoch %d of %d: loss %.4f", epoch + 1, run.epochs, sum(losses) / len(losses))
        if told is not None:
            told(epoch + 1)
    extractor.model.eval()
    return extractor


def _step(
    extractor: TransformerLabels,
    reports: Sequence[str],
    labels_BC: npt.NDArray[np.bool_],
    optimizer: torch.optim.Optimizer,
    run: TransformerLabelRun,
) -> float:
    """One step of the optimiser; returns the loss before it."""
    optimizer.zero_grad(set_to_none=True)
    logits_BC = extractor.logits(reports)
    target_BC = torch.from_numpy(labels_BC).to(logits_BC)
    loss = nn.functional.binary_cross_entropy_with_logits(logits_BC, target_BC)
    loss.backward()  # type: ignore[no-untyped-call]
    try:
        nn.utils.clip_grad_norm_(extractor.model.parameters(), run.max_grad_norm, error_if_nonfinite=True)
    except RuntimeError as error:
        raise CtsearchError(
            f"the loss is {loss.item():.4g} and its gradient is not finite; lower the learning rate"
        ) from error
    optimizer.step()
    return float(loss.item())
