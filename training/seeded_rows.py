"""Dropout in heads that belongs to a sample: the same mask on any process and in any chunk."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from training.dropout import seed_of


def row_seeds(seed: int, step: int, places: Sequence[int]) -> tuple[int, ...]:
    """Seeds of rows by their places in the whole batch of a step."""
    return tuple(seed_of(seed, step, "head", place) for place in places)


def each_row(forward: Callable[[Tensor], Tensor], rows_BN: Tensor, seeds: Sequence[int]) -> Tensor:
    """Pass each row alone, with a generator of its own; the global generators are left as they were.

    Args:
        forward: (1, N) to (1, M); layers so small that a row at a time costs nothing.
        rows_BN: what is passed.
        seeds: of each row.

    Returns:
        (B, M).
    """
    devices = [rows_BN.device] if rows_BN.device.type == "cuda" else []
    passed = []
    with torch.random.fork_rng(devices):
        for row, seed in zip(rows_BN, seeds, strict=True):
            torch.manual_seed(seed)
            passed.append(forward(row[None]))
    return torch.cat(passed)
