"""Examples that nothing is learnt from: in batches, as many on every process; and how findings are told."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from encoders.errors import CtsearchError
from retrieval.metrics import auroc
from training.distributed import Place
from training.stream import Examples

ItemT = TypeVar("ItemT")
BatchT = TypeVar("BatchT")
_AT_ONCE = 8


def unseen_batches(
    examples: Examples[ItemT], collate: Callable[[Sequence[ItemT | None]], BatchT], place: Place
) -> Iterator[BatchT]:
    """Yield this process's share; None fills the last batches, and stands for what cannot be read."""
    ours: list[int | None] = [*range(place.rank, len(examples), place.processes)]
    ours += [None] * (-(-len(examples) // place.processes) - len(ours))
    for start in range(0, len(ours), _AT_ONCE):
        yield collate([_load(examples, index) for index in ours[start : start + _AT_ONCE]])


def _load(examples: Examples[ItemT], index: int | None) -> ItemT | None:
    if index is None:
        return None
    try:
        return examples.load(index, 0)
    except CtsearchError:
        return None


def mean_auroc(
    score_NC: NDArray[np.floating], present_NC: NDArray[np.bool_], known_NC: NDArray[np.bool_]
) -> float | None:
    """Return the mean AUROC over the findings that are known to be present in some and absent in others."""
    areas = [
        auroc(score_NC[rows, column], present_NC[rows, column])
        for column, rows in enumerate(known_NC.T)
        if rows.any()
    ]
    found = [area for area in areas if not np.isnan(area)]
    return float(np.mean(found)) if found else None
