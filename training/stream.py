"""Batches in an order that the seed alone decides, whatever the number of processes, from any step on."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from encoders.errors import ConfigError, InputError
from training.distributed import Place

ItemT_co = TypeVar("ItemT_co", covariant=True)
ItemT = TypeVar("ItemT")
BatchT = TypeVar("BatchT")
Slot = tuple[int, int]  # (epoch, index of the example)


class Examples(Protocol[ItemT_co]):
    """Where examples come from; any of them may be read at any time, in any process."""

    def __len__(self) -> int:
        """How many there are."""

    def name(self, index: int) -> str:
        """What the source calls one of them."""

    def load(self, index: int, epoch: int) -> ItemT_co:
        """One of them; what is random in it, the epoch and the index decide.

        Raises:
            InputError: it cannot be read; the training goes on without it.
        """


@dataclass(frozen=True, slots=True)
class Missing:
    """An example that could not be read, and why."""

    index: int
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Share(Generic[BatchT]):
    """One process's share of the batch of a step; `missing` are the examples it has to do without."""

    step: int
    batch: BatchT
    missing: tuple[Missing, ...]


class Stream(Generic[ItemT, BatchT]):
    """Shares of batches, read ahead by worker processes."""

    def __init__(
        self,
        examples: Examples[ItemT],
        collate: Callable[[Sequence[ItemT | None]], BatchT],
        *,
        batch_size: int,
        seed: int,
        place: Place,
        workers: int = 0,
    ) -> None:
        """Say what is read.

        Args:
            examples: of all processes.
            collate: makes a batch of this process's items; None stands where one could not be read. It must
                keep the place (so that shapes are equal everywhere) and give it no weight.
            batch_size: over all processes.
            seed: of the order.
            place: which share is ours.
            workers: processes that read ahead; 0 reads in this one.

        Raises:
            ConfigError: a batch cannot be divided among the processes, or the examples do not fill one.
        """
        if batch_size % place.processes:
            raise ConfigError(
                f"a batch of {batch_size} cannot be divided among {place.processes} processes; "
                "choose --batch-size a multiple of them"
            )
        if len(examples) < batch_size:
            raise ConfigError(
                f"{len(examples)} examples do not fill a batch of {batch_size}; give more data, or a smaller "
                "--batch-size"
            )
        self.examples, self.collate = examples, collate
        self.batch_size, self.seed, self.place, self.workers = batch_size, seed, place, workers
        self._order = -1, np.arange(0)  # of the epoch that was asked for last

    def digest(self) -> str:
        """What identifies the examples and their order among one another."""
        digest = hashlib.sha256()
        for index in range(len(self.examples)):
            digest.update(f"{self.examples.name(index)}\n".encode())
        return digest.hexdigest()[:16]

    def slots(self, step: int) -> list[Slot]:
        """The whole batch of a step; an epoch is a permutation, of which what fills no batch is left out."""
        an_epoch = len(self.examples) // self.batch_size
        epoch, place = divmod(step, an_epoch)
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.examples))
        chosen = self._order[1][place * self.batch_size : (place + 1) * self.batch_size]
        return [(epoch, int(index)) for index in chosen]

    def shares(self, first: int, last: int) -> Iterator[Share[BatchT]]:
        """Yield this process's shares of the steps from `first` up to, not including, `last`."""
        loader = DataLoader(
            _Readable(self.examples),
            batch_sampler=(self._ours(step) for step in range(first, last)),
            collate_fn=_Collated(self.collate),
            num_workers=self.workers,
            prefetch_factor=2 if self.workers else None,
            generator=torch.Generator(),  # else it draws from the global one, once more after every restart
        )
        for step, (batch, missing) in zip(range(first, last), loader, strict=True):
            yield Share(step, batch, missing)

    def _ours(self, step: int) -> list[Slot]:
        each = self.batch_size // self.place.processes
        return self.slots(step)[self.place.rank * each : (self.place.rank + 1) * each]


class _Readable(Dataset[object]):
    """Examples as a DataLoader's workers read them."""

    def __init__(self, examples: Examples[object]) -> None:
        self.examples = examples

    def __getitem__(self, slot: Slot) -> object:
        epoch, index = slot
        try:
            return self.examples.load(index, epoch)
        except InputError as error:
            return Missing(index, self.examples.name(index), str(error))


class _Collated(Generic[ItemT, BatchT]):
    def __init__(self, collate: Callable[[Sequence[ItemT | None]], BatchT]) -> None:
        self.collate = collate

    def __call__(self, items: list[ItemT | Missing]) -> tuple[BatchT, tuple[Missing, ...]]:
        missing = tuple(item for item in items if isinstance(item, Missing))
        return self.collate([None if isinstance(item, Missing) else item for item in items]), missing
