"""What the loop asks of a training: weights in groups, the gradient of a batch, what comes after a step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from torch import Tensor, nn

OptimizerName = Literal["adam", "adamw", "muon"]
BatchT_contra = TypeVar("BatchT_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroup:
    """Weights that one optimiser moves at one rate.

    Attributes:
        name: what a person calls them; errors name it.
        parameters: the weights; those that need no gradient are left out by `trainable`.
        peak_rate: learning rate at the top of the schedule.
        weight_decay: of this group.
        optimizer: "muon" for matrices alone.
        betas: of Adam's kind; Muon takes the first as its momentum.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    peak_rate: float
    weight_decay: float = 0.0
    optimizer: OptimizerName = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)


class Objective(Protocol[BatchT_contra]):
    """A training as the loop sees it; contrastive, VocabFine, ClassFine and CT-Net are each one.

    Gradients are those of the whole batch: whoever computes them on several processes leaves in `.grad`, on
    every process, what one process with the whole batch would have computed. `distributed.wrap` (DDP or
    FSDP2) averages over processes, so the loss to send backward there is the mean over the process's share.
    Nothing may hang on how a batch is divided: dropout is seeded by sample (`training.dropout`), samples
    that could not be read have a place in the batch and no weight in the loss.
    """

    @property
    def model(self) -> nn.Module:
        """The whole model, unwrapped: its `state_dict` is what a checkpoint keeps."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """The weights that are trained, each in one group; asked for once, before the first step."""

    def backward(self, batch: BatchT_contra, step: int) -> Mapping[str, float]:
        """Leave the gradient of the whole batch's loss in `.grad`; gradients are None before.

        Args:
            batch: this process's share of the batch of step `step`, from 0.
            step: also what is random in the pass hangs on it and the run's seed alone.

        Returns:
            Figures of the whole batch, equal on every process: "loss", and any that are worth a log line.
        """

    def finish_step(self) -> None:
        """After the optimisers have moved the weights: codebook rows, clamps."""

    def evaluate(self, step: int) -> Mapping[str, float]:
        """Figures on data held out, every `run.evaluate_every` steps; the model is in evaluation mode."""


def trainable(parameters: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """Those named weights that need a gradient."""
    return {name: p for name, p in parameters.items() if isinstance(p, nn.Parameter) and p.requires_grad}


def chunks_of(count: int, size: int | None) -> list[slice]:
    """Slices of at most `size` rows, None for all at once; the last ends at `count`."""
    step = size or count
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
