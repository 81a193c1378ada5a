"""Dropout that belongs to a sample: the same mask in a second pass and on any process.

A report is passed alone, with the generator seeded from what identifies it. So the masks do not hang on how
a batch is divided among chunks and processes, and no padding is computed. BERT is a small part of a step of
the full-size model: a volume costs seven times as much.
"""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def seed_of(*key: int | str) -> int:
    """A seed of 63 bits from what identifies a draw: the run's seed, the step, the place in the batch."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "little") >> 1


def seeds_of(seed: int, step: int, kind: str, places: Sequence[int]) -> tuple[int, ...]:
    """Seeds of a kind of sample by their places in the whole batch of a step."""
    return tuple(seed_of(seed, step, kind, place) for place in places)


def one_by_one(
    forward: Callable[[Tensor, Tensor], Tensor], ids_BT: Tensor, mask_BT: Tensor, seeds: Sequence[int]
) -> Tensor:
    """Pass each text alone, without its padding, with a generator of its own.

    Args:
        forward: token ids (1, T) and mask (1, T) to (1, L).
        ids_BT: token ids.
        mask_BT: 1 for a token, then 0 for padding.
        seeds: of each text.

    Returns:
        (B, L). The global generators are left as they were.
    """
    texts = [
        (ids[None, :length], mask[None, :length])
        for ids, mask, length in zip(ids_BT, mask_BT, mask_BT.sum(dim=1).tolist(), strict=True)
    ]
    return _seeded(forward, texts, seeds, ids_BT.device)


def each_row(forward: Callable[[Tensor], Tensor], rows_BN: Tensor, seeds: Sequence[int]) -> Tensor:
    """Pass each row alone, with a generator of its own.

    Args:
        forward: (1, N) to (1, M); layers so small that a row at a time costs nothing.
        rows_BN: what is passed.
        seeds: of each row.

    Returns:
        (B, M). The global generators are left as they were.
    """
    return _seeded(forward, [(row[None],) for row in rows_BN], seeds, rows_BN.device)


def _seeded(
    forward: Callable[..., Tensor],
    samples: Sequence[tuple[Tensor, ...]],
    seeds: Sequence[int],
    device: torch.device,
) -> Tensor:
    passed = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for sample, seed in zip(samples, seeds, strict=True):
            torch.manual_seed(seed)
            passed.append(forward(*sample))
    return torch.cat(passed)
