"""Checkpoints of a training: whole at any time, and enough to go on as if nothing had happened."""

import pickle
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from encoders.errors import CheckpointError, StorageError
from retrieval.atomic_file import written_atomically
from training.distributed import Place, wait_for_all
from training.optimizers import Optimizers

FORMAT = "ctsearch training 1"
CHECKPOINT_FILE = "checkpoint.pt"


@dataclass(slots=True)
class Done:
    """How far a training is.

    Attributes:
        step: how many steps are done; the step decides the place in the data too.
        missing: indices of the examples that could not be read.
        pending: losses since the last log line.
    """

    step: int = 0
    missing: set[int] = field(default_factory=set)
    pending: list[float] = field(default_factory=list)


class TrainingState:
    """What a checkpoint holds, in memory; the first process writes it, all read it."""

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        optimizers: Optimizers,
        identity: Mapping[str, str],
        place: Place,
    ) -> None:
        """Say what is kept where.

        Args:
            folder: of the training.
            model: whose `state_dict` is kept.
            optimizers: of its weights.
            identity: what decides the result, by name (`runs.identity_of`): no other checkpoint is taken up.
            place: this process among the others.
        """
        self.path = folder / CHECKPOINT_FILE
        self.model, self.optimizers, self.identity, self.place = model, optimizers, dict(identity), place
        self.done = Done()

    def begin(self) -> Done:
        """Start from nothing.

        Raises:
            CheckpointError: the folder holds a checkpoint, which would be overwritten.
        """
        if self.path.exists():
            raise CheckpointError(
                f"{self.path} is the checkpoint of a training: go on with --resume, delete its folder, "
                "or choose another --out"
            )
        return self.done

    def restore(self) -> Done:
        """Take up the last checkpoint, if there is one.

        Raises:
            CheckpointError: it is damaged, or another run's or model's.
        """
        if not self.path.exists():
            return self.done
        saved = _read(self.path)
        self._check(saved)
        self._load_model(saved["model"])
        for name, optimizer in self.optimizers.by_name.items():
            _load_optimizer(optimizer, saved["optimizers"][name])
        ranks = saved["random"]
        if len(ranks) == self.place.processes:
            _set_random_state(ranks[self.place.rank], self.place)
        self.done = Done(saved["step"], set(saved["missing"]), list(saved["pending"]))
        return self.done

    def save(self, step: int) -> None:
        """Replace the checkpoint by one after `step` steps.

        Raises:
            StorageError: there is no room for it; the old one is kept.
        """
        self.done.step = step
        random_states: list[Any] = [_random_state(self.place)]
        if self.place.processes > 1:
            random_states = [None] * self.place.processes
            dist.all_gather_object(random_states, _random_state(self.place))
        first = self.place.is_first
        model = whole_tensors(self.model, keep=first)
        optimizers = {name: _whole_state(one, keep=first) for name, one in self.optimizers.by_name.items()}
        if first:
            saved = {
                "format": FORMAT,
                "run": self.identity,
                "model": model,
                "optimizers": optimizers,
                "step": step,
                "missing": sorted(self.done.missing),
                "pending": self.done.pending,
                "random": random_states,
            }
            self._write(saved)
        wait_for_all(self.place)

    def _write(self, saved: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with written_atomically(self.path) as stream:
                torch.save(saved, stream)
        except (StorageError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
            raise StorageError(
                f"the checkpoint after step {saved['step']} cannot be written to {self.path}: make room and "
                "go on with --resume from the one before, which is kept"
            ) from error

    def _check(self, saved: Mapping[str, Any]) -> None:
        ours = self.identity
        for name in sorted({*ours, *saved["run"]}):
            theirs = saved["run"].get(name)
            if theirs != ours.get(name):
                raise CheckpointError(
                    f"{self.path} is of a run with {name} {theirs}, this one has {ours.get(name)}: give the "
                    "same options, or another --out"
                )
        shapes = {name: tuple(tensor.shape) for name, tensor in self.model.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in saved["model"].items()}
        for name in sorted({*shapes, *found}):
            if shapes.get(name) != found.get(name):
                raise CheckpointError(
                    f"{self.path} is of another model: {name} has the shape {found.get(name)} there and "
                    f"{shapes.get(name)} here; give the same --init and options, or another --out"
                )

    def _load_model(self, saved: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                _fill(tensor, saved[name])


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if not isinstance(saved, dict) or saved.get("format") != FORMAT:
            raise CheckpointError(f"{path} is no checkpoint of a training: choose another --out")
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of a training: delete it to start anew"
        ) from error
    return saved


def whole_tensors(model: nn.Module, *, keep: bool = True) -> dict[str, Tensor]:
    """The weights and buffers of a model on the CPU, put together from all processes if they are divided.

    Args:
        model: of which every process asks at once.
        keep: whether this process has a use for them; others only take part.
    """
    return {name: _gathered(tensor, keep) for name, tensor in model.state_dict().items()}


def _gathered(tensor: Tensor, keep: bool) -> Tensor:
    whole = tensor.detach()
    whole = whole.full_tensor() if isinstance(whole, DTensor) else whole
    return whole.cpu() if keep else torch.empty(0)


def _whole_state(optimizer: torch.optim.Optimizer, *, keep: bool) -> dict[int, dict[str, Any]]:
    """What an optimiser remembers, by the place of the weight."""
    remembered: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        place: {key: _gathered(v, keep) if isinstance(v, Tensor) else v for key, v in entries.items()}
        for place, entries in remembered.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[int, Mapping[str, Any]]) -> None:
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    for place, entries in saved.items():
        weight = weights[place]
        optimizer.state[weight] = {key: _placed(key, value, weight) for key, value in entries.items()}


def _placed(key: str, value: object, weight: Tensor) -> object:
    """What an optimiser remembers of a weight, divided and moved as the weight is; a step count is not."""
    if not isinstance(value, Tensor) or key == "step":
        return value.clone() if isinstance(value, Tensor) else value
    placed = torch.empty_like(weight, dtype=value.dtype)
    _fill(placed, value)
    return placed


def _fill(target: Tensor, source: Tensor) -> None:
    if isinstance(target, DTensor):
        moved = source.to(target.device)
        target.copy_(distribute_tensor(moved, target.device_mesh, target.placements))
    else:
        target.copy_(source)


def seed_generators(seed: int) -> None:
    """Seed the generators of torch, numpy and Python, so that what they draw is the same every time."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - others' code may use it
    random.seed(seed)


def _random_state(place: Place) -> dict[str, Any]:
    """State of every generator, as tensors and numbers that can be read without running a pickle."""
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(place.device) if place.device.type == "cuda" else None,
        "numpy": [str(name), torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def _set_random_state(saved: Mapping[str, Any], place: Place) -> None:
    torch.set_rng_state(saved["torch"].clone())
    if place.device.type == "cuda" and saved["cuda"] is not None:
        torch.cuda.set_rng_state(saved["cuda"].clone(), place.device)
    name, keys, *rest = saved["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
