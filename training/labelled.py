"""Volumes with labels, put into batches: what VocabFine, ClassFine and CT-Net learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.abnormalities import ABNORMALITIES
from encoders.config import VolumeGrid

_NO_VOLUME = -1.0  # air, where a volume could not be read


class Labelled(Protocol):
    """A volume and what is known of it; `training.batches.Pair` is one."""

    @property
    def volume_DHW(self) -> NDArray[np.float32]:  # noqa: N802 - a shape suffix
        """On the encoder's grid."""

    @property
    def labels(self) -> Mapping[str, bool]:
        """Those that are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledBatch:
    """B volumes; a place whose volume could not be read has no known label.

    Attributes:
        volume_BCDHW: float32.
        present_BC: True where a finding is known to be present.
        known_BC: False where it is not known whether it is.
        read_B: whether the volume could be read.
    """

    volume_BCDHW: Tensor
    present_BC: Tensor
    known_BC: Tensor
    read_B: Tensor

    def __len__(self) -> int:
        return len(self.volume_BCDHW)

    def part(self, rows: slice, device: torch.device) -> "LabelledBatch":
        """Some of the volumes, on a device."""
        return LabelledBatch(
            volume_BCDHW=self.volume_BCDHW[rows].to(device, non_blocking=True),
            present_BC=self.present_BC[rows].to(device),
            known_BC=self.known_BC[rows].to(device),
            read_B=self.read_B[rows].to(device),
        )


@dataclass(frozen=True, slots=True)
class LabelCollation:
    """Makes batches of labelled volumes on a grid."""

    grid: VolumeGrid

    def __call__(self, items: Sequence[Labelled | None]) -> LabelledBatch:
        """Put volumes into one batch; None stands for one that could not be read."""
        empty = np.full(self.grid.shape, _NO_VOLUME, np.float32)
        volumes = [empty if item is None else item.volume_DHW for item in items]
        present_BC, known_BC = label_rows([{} if item is None else item.labels for item in items])
        return LabelledBatch(
            volume_BCDHW=torch.from_numpy(np.stack(volumes)[:, None]),
            present_BC=present_BC,
            known_BC=known_BC,
            read_B=torch.tensor([item is not None for item in items]),
        )


def label_rows(labels: Sequence[Mapping[str, bool]]) -> tuple[Tensor, Tensor]:
    """Return what is present and what is known, bool (N, 18), in the order of `ABNORMALITIES`."""
    present = [[row.get(name, False) for name in ABNORMALITIES] for row in labels]
    known = [[name in row for name in ABNORMALITIES] for row in labels]
    return torch.tensor(present, dtype=torch.bool), torch.tensor(known, dtype=torch.bool)
