"""The smallest volumes with findings: bright blocks, one place a finding; some cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from encoders.config import VolumeGrid
from encoders.errors import VolumeError

FINDINGS = ABNORMALITIES[:4]


@dataclass(frozen=True)
class Block:
    """A volume and its labels; those of other findings are not known."""

    volume_DHW: NDArray[np.float32]
    labels: Mapping[str, bool]


@dataclass(frozen=True)
class Blocks:
    """Volumes on a grid; which findings each has, its index decides."""

    grid: VolumeGrid
    count: int = 32
    unreadable: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"block_{index}"

    def labels(self, index: int) -> dict[str, bool]:
        return {name: bool(index >> bit & 1) for bit, name in enumerate(FINDINGS)}

    def load(self, index: int, epoch: int) -> Block:
        if index in self.unreadable:
            raise VolumeError(f"block_{index} is torn")
        _, rows, columns = self.grid.shape
        voxels = np.random.default_rng(index).normal(-0.5, 0.05, self.grid.shape).astype(np.float32)
        for place, present in enumerate(self.labels(index).values()):
            if present:
                row, column = divmod(place, 2)
                voxels[
                    :,
                    row * rows // 2 : (row + 1) * rows // 2,
                    column * columns // 2 : (column + 1) * columns // 2,
                ] += 0.8
        return Block(voxels, self.labels(index))
