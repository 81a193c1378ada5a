"""The optimisers of a training's groups of weights, their rates, and gradients that must be finite."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from encoders.errors import ConfigError, CtsearchError
from training.distributed import Place, sum_over_processes
from training.objective import ParameterGroup


class Optimizers:
    """One optimiser a group, which a checkpoint names by the group."""

    def __init__(self, groups: Sequence[ParameterGroup]) -> None:
        """Make them.

        Raises:
            ConfigError: two groups have one name, or nothing is to be trained.
        """
        self.groups = [group for group in groups if group.parameters]
        names = [group.name for group in self.groups]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"a training needs groups of weights of different names, found {names}")
        self.by_name = {group.name: _make(group) for group in self.groups}

    def set_rates(self, share: float) -> None:
        """Give each group this share of its peak rate."""
        for group in self.groups:
            for entry in self.by_name[group.name].param_groups:
                entry["lr"] = share * group.peak_rate

    def clear_gradients(self) -> None:
        """Forget the gradients of the last step."""
        for optimizer in self.by_name.values():
            optimizer.zero_grad(set_to_none=True)

    def gradient_norm(self, place: Place, step: int) -> float:
        """Return the norm over all groups.

        Raises:
            CtsearchError: that of a group is not finite.
        """
        squares = [_square_norm(group.parameters, place) for group in self.groups]
        for group, square in zip(self.groups, squares, strict=True):
            if not math.isfinite(square):
                raise CtsearchError(
                    f"the gradient of {group.name} is not finite at step {step + 1}; go on from the last "
                    "checkpoint with a lower learning rate or in float32"
                )
        return math.sqrt(sum(squares))

    def step(self, scale: float) -> None:
        """Scale the gradients and move the weights."""
        for group in self.groups:
            if scale < 1:
                for parameter in group.parameters:
                    if parameter.grad is not None:
                        parameter.grad.mul_(scale)
            self.by_name[group.name].step()


def _make(group: ParameterGroup) -> torch.optim.Optimizer:
    weights = list(group.parameters)
    if group.optimizer == "muon":
        return torch.optim.Muon(
            weights,
            lr=group.peak_rate,
            weight_decay=group.weight_decay,
            momentum=group.betas[0],
            adjust_lr_fn="match_rms_adamw",
        )
    kind = torch.optim.Adam if group.optimizer == "adam" else torch.optim.AdamW
    return kind(weights, lr=group.peak_rate, betas=group.betas, weight_decay=group.weight_decay)


def _square_norm(parameters: Sequence[nn.Parameter], place: Place) -> float:
    """Squared norm of the gradients; shards are summed over the processes, whole tensors counted once."""
    whole = torch.zeros((), dtype=torch.float64, device=place.device)
    parts = torch.zeros_like(whole)
    for gradient in (p.grad for p in parameters if p.grad is not None):
        if isinstance(gradient, DTensor):
            parts += _square(gradient.to_local())
        else:
            whole += _square(gradient)
    return float(whole + sum_over_processes(parts, place))


def _square(tensor: Tensor) -> Tensor:
    square: Tensor = torch.linalg.vector_norm(tensor.detach().float()).double().square()
    return square
