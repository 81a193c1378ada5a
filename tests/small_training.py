"""The smallest training there is: a line through points, some of which cannot be read.

As a program it is one of several processes that read among them three points too few of 200.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from encoders.errors import DatasetError, VolumeError
from training.distributed import Place, training_place
from training.loop import fit
from training.objective import ParameterGroup, trainable
from training.runs import Run
from training.stream import Stream


@dataclass(frozen=True)
class Points:
    """y = 3x - 1 at 200 places."""

    unreadable: frozenset[int] = frozenset()
    count: int = 200

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"point_{index}"

    def load(self, index: int, epoch: int) -> tuple[float, float]:
        if index in self.unreadable:
            raise VolumeError(f"point_{index} is torn")
        x = index / self.count - 0.5
        return x, 3 * x - 1


def collate(items: Sequence[tuple[float, float] | None]) -> Tensor:
    """Rows (x, y, weight)."""
    return torch.tensor([(0.0, 0.0, 0.0) if item is None else (*item, 1.0) for item in items])


@dataclass
class LineObjective:
    """Least squares, on one process; at `poisoned` the gradient is not a number."""

    model: nn.Module = field(default_factory=lambda: nn.Linear(1, 1))
    poisoned: int | None = None

    def parameter_groups(self) -> list[ParameterGroup]:
        weights = tuple(trainable(dict(self.model.named_parameters())).values())
        return [ParameterGroup(name="the line", parameters=weights, peak_rate=0.05)]

    def backward(self, batch: Tensor, step: int) -> Mapping[str, float]:
        x, y, weight = batch.T
        noise = 1 + torch.rand(())  # drawn from a generator whose state a checkpoint must restore
        loss = (weight * (self.model(x[:, None])[:, 0] - y).square()).sum() / weight.sum() * noise
        loss.backward()
        if step == self.poisoned:
            self.model.weight.grad.fill_(float("nan"))
        return {"loss": loss.item()}

    def finish_step(self) -> None:
        pass

    def evaluate(self, step: int) -> Mapping[str, float]:
        return {"slope": self.model.weight.item()}


def line_run(**numbers) -> Run:
    """A run of 30 steps of 10."""
    return Run(
        **{
            "name": "line",
            "steps": 30,
            "batch_size": 10,
            "peak_rate": 0.05,
            "log_every": 1,
            "save_every": 10,
            **numbers,
        }
    )


def fit_line(
    folder: Path,
    run: Run,
    *,
    resume: bool = False,
    points: Points = Points(),
    place: Place | None = None,
    **objective,
) -> nn.Module:
    """Fit it in a folder."""
    torch.manual_seed(run.seed)
    line = LineObjective(**objective)
    place = place or Place()
    stream = Stream(points, collate, batch_size=run.batch_size, seed=run.seed, place=place)
    fit(line, stream, run, place, folder, resume=resume)
    return line.model


def main(folder: str) -> None:
    """Fit until too many are missing, and say what the run says then."""
    with training_place("cpu") as place:
        try:
            fit_line(Path(folder), line_run(), points=Points(frozenset({7, 50, 150})), place=place)
        except DatasetError as error:
            sys.stdout.write(f"stopped: {error}\n")


if __name__ == "__main__":
    main(sys.argv[1])
