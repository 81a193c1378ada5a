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
    devices = [ids_BT.device] if ids_BT.device.type == "cuda" else []
    lengths = mask_BT.sum(dim=1).tolist()
    rows = []
    with torch.random.fork_rng(devices):
        for ids, mask, length, seed in zip(ids_BT, mask_BT, lengths, seeds, strict=True):
            torch.manual_seed(seed)
            rows.append(forward(ids[None, :length], mask[None, :length]))
    return torch.cat(rows)
