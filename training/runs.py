"""A run: every number that a training needs, in one frozen value. A named run is a function returning one."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from encoders.errors import ConfigError

RunT = TypeVar("RunT")
ChangedT = TypeVar("ChangedT", bound="Run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What every training has; each kind of training adds its own numbers in a subclass.

    Attributes:
        name: of the run.
        steps: of the optimisers, in all.
        batch_size: examples of a step, over all devices: the result does not depend on how many there are.
        chunk_size: examples whose graph a device keeps at once; its share of a batch is worked off in chunks
            of so many, with the same result. None: the whole share.
        peak_rate: learning rate at the top.
        warm_up: steps of the linear rise.
        rate_floor: share of the peak that half a cosine ends at; 1 keeps the rate constant.
        weight_decay, betas: of Adam's kind.
        max_grad_norm: longer gradients are scaled down to it.
        seed: of new weights, order, dropout and all else that is random.
        log_every, evaluate_every, save_every: steps between two; the last step is always one, 0 is never.
    """

    name: str
    steps: int
    batch_size: int
    chunk_size: int | None = None
    peak_rate: float
    warm_up: int = 0
    rate_floor: float = 0.01
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0
    seed: int = 0
    log_every: int = 20
    evaluate_every: int = 0
    save_every: int = 500

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.chunk_size or 1, self.log_every) < 1:
            raise ConfigError(f"the run {self.name} needs at least one step, example and log line: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRun(Run):
    """A training from volumes.

    Attributes:
        data: a source, as `ctsearch index` takes it, or phantoms as N:SEED with a seed of `TRAINING_SEEDS`.
        data_share: of the patients, from 0 to 1; a smaller share is part of a larger one.
        one_per_patient: one volume of each patient in place of all.
        farthest_shift: voxels by which a volume is moved at most along each axis, at random.
        recompute: activations are computed again on the way back, for a third more time.
    """

    data: str | None = None
    data_share: float = 1.0
    one_per_patient: bool = False
    farthest_shift: int = 0
    recompute: bool = False

    def __post_init__(self) -> None:
        Run.__post_init__(self)  # slots make another class, which super() does not know
        if not 0 < self.data_share <= 1:
            raise ConfigError(f"found a share of {self.data_share:g} of the data; give one above 0, up to 1")


_CHANGEABLE = frozenset(("log_every", "evaluate_every", "save_every", "chunk_size", "recompute", "data"))


def identity_of(run: Run) -> dict[str, str]:
    """What of a run decides its result, by name and as text: a checkpoint goes on with these alone.

    How often something is logged, in chunks of how many, and where the data lies may differ from the first
    part of a run to the next.
    """
    numbers = {name: value for name, value in asdict(run).items() if name not in _CHANGEABLE}
    return {name: json.dumps(value, sort_keys=True) for name, value in numbers.items()}


def choose_run(runs: Mapping[str, Callable[[], RunT]], name: str, kind: str) -> RunT:
    """The run of a name.

    Args:
        runs: of one kind of training, by name.
        name: as given.
        kind: of training, as the command calls it.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in runs:
        raise ConfigError(
            f'found --run "{name}", which is no run of {kind} training; there is {", ".join(runs)}'
        )
    return runs[name]()


def changed(run: ChangedT, **options: object) -> ChangedT:
    """The run with those of its numbers that are given; None leaves one as it is.

    Raises:
        ConfigError: they do not go together.
    """
    return replace(run, **{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
