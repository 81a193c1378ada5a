"""The one loop of every training: it logs, evaluates and saves around any step."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from training.checkpoint import TrainingState, seed_generators
from training.distributed import Place
from training.dropout import seed_of
from training.objective import Objective
from training.optimizers import Optimizers
from training.progress import Progress
from training.runs import Run, identity_of
from training.schedule import warmed_cosine
from training.stream import Share, Stream

BatchT = TypeVar("BatchT")
ItemT = TypeVar("ItemT")


def fit(
    objective: Objective[BatchT],
    stream: Stream[ItemT, BatchT],
    run: Run,
    place: Place,
    folder: Path,
    *,
    resume: bool = False,
) -> None:
    """Train a model in place, from the start or from the last checkpoint; it is left in evaluation mode.

    A run that was killed anywhere and is resumed ends with the same weights, bit for bit on a CPU, as one
    that was not: the step decides the data and all that is random.

    Args:
        objective: what is trained; the same on every process.
        stream: this process's shares of the batches.
        run: how many steps, at which rates, and how often something is logged, evaluated and saved.
        place: this process among the others.
        folder: of this training: checkpoint.pt, log.jsonl, missing.csv and, where tensorboard is installed,
            its events.
        resume: go on from the checkpoint in `folder`; without one the training starts.

    Raises:
        CtsearchError: a gradient is not finite; the last checkpoint is kept.
        DatasetError: more than 1 % of the examples cannot be read.
        CheckpointError: `folder` holds the checkpoint of another training, or `resume` was not asked for.
        StorageError: the disk is full; the last checkpoint is kept.
    """
    seed_generators(seed_of(run.seed, place.rank))
    optimizers = Optimizers(objective.parameter_groups())
    identity = {**identity_of(run), "examples": stream.digest()}
    state = TrainingState(folder, objective.model, optimizers, identity, place)
    done = state.restore() if resume else state.begin()
    with Progress(folder, run, place, state) as progress:
        objective.model.train()
        for share in stream.shares(done.step, run.steps):
            progress.note_missing(share.missing, of=len(stream.examples))
            figures = train_step(objective, optimizers, share, run, place)
            progress.note_step(share.step, figures)
            if _due(share.step, run.evaluate_every, run.steps):
                objective.model.eval()
                progress.note_evaluation(share.step, objective.evaluate(share.step))
                objective.model.train()
                progress.restart_clock(share.step)
            if _due(share.step, run.save_every, run.steps):
                state.save(share.step + 1)
                progress.restart_clock(share.step)
    objective.model.eval()


def train_step(
    objective: Objective[BatchT], optimizers: Optimizers, share: Share[BatchT], run: Run, place: Place
) -> Mapping[str, float]:
    """One step of the optimisers; it neither logs, evaluates nor saves.

    Returns:
        The objective's figures, and "rate" (of the first group) and "gradient_norm" (before it is clipped).

    Raises:
        CtsearchError: a gradient is not finite; no weight has been moved.
    """
    optimizers.clear_gradients()
    figures = objective.backward(share.batch, share.step)
    norm = optimizers.gradient_norm(place, share.step)
    rate = warmed_cosine(share.step, steps=run.steps, warm_up=run.warm_up, floor=run.rate_floor)
    optimizers.set_rates(rate)
    optimizers.step(run.max_grad_norm / (norm + 1e-6))
    objective.finish_step()
    return {**figures, "rate": rate * optimizers.groups[0].peak_rate, "gradient_norm": norm}


def _due(step: int, every: int, steps: int) -> bool:
    """Whether something that is done every so many steps, and after the last one, is due; 0 is never."""
    return bool(every) and ((step + 1) % every == 0 or step + 1 == steps)
