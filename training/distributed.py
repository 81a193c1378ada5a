"""Where a training runs: one process or many, on CPUs with gloo or on GPUs with NCCL, by DDP or FSDP2."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from encoders.errors import ConfigError

Sharding = Literal["ddp", "fsdp"]
_PATIENCE = timedelta(minutes=60)  # the slowest process may be reading volumes that are in no cache yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one process of a training runs.

    Attributes:
        device: of this process.
        dtype: of matrix products, by autocast; weights, their optimisers and the loss stay float32.
        sharding: "ddp" keeps the model on every device, "fsdp" divides weights, gradients and optimiser
            states among them.
        rank, processes: which of how many this is.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    sharding: Sharding = "ddp"
    rank: int = 0
    processes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[object]:
        """Arithmetic of the forward pass."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


@contextmanager
def training_place(
    device: str | None = None, dtype: torch.dtype = torch.float32, sharding: Sharding = "ddp"
) -> Iterator[Place]:
    """Join the other processes that torchrun has started, if it has, and leave them at the end.

    Args:
        device: "cpu", "cuda" (each process its own, by LOCAL_RANK) or "cuda:N"; None: a GPU if there is one.
        dtype: float32 or bfloat16.
        sharding: how several processes share the model.

    Raises:
        ConfigError: the device is not there.
    """
    rank, processes, local = (int(os.environ.get(k, d)) for k, d in _TORCHRUN)
    chosen = _device(device or ("cuda" if torch.cuda.is_available() else "cpu"), local)
    if processes > 1:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE, device_id=chosen if backend == "nccl" else None)
    try:
        yield Place(device=chosen, dtype=dtype, sharding=sharding, rank=rank, processes=processes)
    finally:
        if processes > 1 and dist.is_initialized():
            dist.destroy_process_group()


_TORCHRUN = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


def _device(name: str, local: int) -> torch.device:
    try:
        device = torch.device(name)
        if device.type == "cuda":
            device = torch.device("cuda", local if device.index is None else device.index)
            torch.cuda.set_device(device)
        elif device.type != "cpu":
            raise RuntimeError("training runs on cpu or cuda")
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the device {name!r} cannot be used ({reason}); take another --device") from error
    return device


def gather_rows(rows: Tensor, place: Place) -> Tensor:
    """Return the rows of all processes, in the order of their ranks; all have the same number.

    No gradient passes: whoever needs one computes the loss of all rows on every process and takes the
    gradient of its own rows (`own_rows`), which costs no second exchange.
    """
    if place.processes == 1:
        return rows.detach()
    gathered = [torch.empty_like(rows) for _ in range(place.processes)]
    dist.all_gather(gathered, rows.detach().contiguous())
    return torch.cat(gathered)


def own_rows(rows: Tensor, place: Place) -> Tensor:
    """Return of gathered rows those that came from this process."""
    each = len(rows) // place.processes
    return rows[place.rank * each : (place.rank + 1) * each]


def sum_over_processes(tensor: Tensor, place: Place) -> Tensor:
    """Return the sum over all processes; the tensor itself is changed."""
    if place.processes > 1:
        dist.all_reduce(tensor)
    return tensor


def wait_for_all(place: Place) -> None:
    """Return when every process has come here."""
    if place.processes > 1:
        dist.barrier()


def wrap(module: nn.Module, place: Place, *, blocks: Sequence[nn.Module] = ()) -> nn.Module:
    """Make a module's gradients the mean over all processes; one process alone gets it back as it is.

    Every trained weight of the module must take part in each forward pass, and forward passes must be as
    many on every process.

    Args:
        module: changed in place by FSDP2.
        place: how, and among how many.
        blocks: layers that FSDP2 gathers one at a time; what they do not hold is gathered as a whole.
    """
    if place.processes == 1:
        return module
    if place.sharding == "ddp":
        # of a depthwise convolution's one input channel, whose stride says nothing
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        ids = [place.device.index] if place.device.type == "cuda" else None
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            # torch 2.13 calls it forward_sync_buffers, which 2.9 does not know
            return DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)
    mesh = init_device_mesh(place.device.type, (place.processes,))
    for part in (*blocks, module):  # in float32: autocast decides what is computed in which type, as with DDP
        fully_shard(part, mesh=mesh)
    return module


@contextmanager
def exchanging(module: nn.Module, *, last: bool) -> Iterator[None]:
    """Run forward and backward of one of several chunks; gradients are exchanged with the last one."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
    if isinstance(module, DistributedDataParallel) and not last:
        with module.no_sync():
            yield
    else:
        yield
