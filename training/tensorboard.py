"""Events for TensorBoard, where it is installed; tensorboard is imported here alone."""

import logging
from pathlib import Path
from typing import Protocol

_log = logging.getLogger(__name__)


class Events(Protocol):
    """Where scalars go."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add one."""

    def close(self) -> None:
        """Write what is not written yet."""


def open_events(folder: Path, first: int) -> Events | None:
    """Open the events of a training, those after its first step hidden; None without tensorboard.

    Args:
        folder: made here.
        first: steps that are done already: a killed run's later events are not shown.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _log.info("no events for TensorBoard are written; pip install 'ctsearch[train]' brings it")
        return None
    events: Events = SummaryWriter(str(folder), purge_step=first + 1 if first else None)
    return events
