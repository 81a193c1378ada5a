"""Average precision as trec_eval computes it, by ir-measures (imported here alone)."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from encoders.errors import ConfigError


def require_ir_measures() -> ModuleType:
    """Return the library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise ConfigError(
            "evaluation needs ir-measures, which is not installed: pip install 'ctsearch[evaluate]'"
        ) from error
    return ir_measures


def binary_trec(
    relevant_QK: NDArray[np.bool_], relevant_Q: NDArray[np.int64], ks: Sequence[int]
) -> NDArray[np.float64]:
    """Return average precision over all that is relevant, (Q, len(ks)).

    AP@K = (1/R) sum_{i<=K} P(i) rel(i), rel(i) = 1 where a finding is shared, P(i) the share of relevant
    volumes among the first i, R the relevant ones of the query's whole gallery; 0 where R = 0.

    ir-measures gets each query's ranking with its relevant volumes of these ranks alone, n of them, and so
    divides by n; times n/R that is the formula. The relevant volumes of every query together would be of the
    order of N x N. It orders by score and ties by name: it gets ranks as scores, so that the order is ours.

    Args:
        relevant_QK: rel, nearest first.
        relevant_Q: R.
        ks: the ranks that are asked for, none beyond the width of `relevant_QK`.

    Raises:
        ConfigError: ir-measures is not installed.
    """
    ir_measures = require_ir_measures()
    width = relevant_QK.shape[1]
    names = [str(rank) for rank in range(width)]
    ranking = {name: float(width - rank) for rank, name in enumerate(names)}
    judged = {
        str(query): {names[rank]: 1 for rank in np.flatnonzero(relevant)}
        for query, relevant in enumerate(relevant_QK)
        if relevant.any()
    }
    measures = {ir_measures.AP @ k: column for column, k in enumerate(ks)}
    values = np.zeros((len(relevant_QK), len(ks)))
    for metric in ir_measures.iter_calc(list(measures), judged, dict.fromkeys(judged, ranking)):
        values[int(metric.query_id), measures[metric.measure]] = metric.value
    share: NDArray[np.float64] = relevant_QK.sum(axis=1) / np.maximum(relevant_Q, 1)
    scaled: NDArray[np.float64] = values * share[:, None]
    return scaled
