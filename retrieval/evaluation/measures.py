"""Measures of ranked volumes: what each query's ranking is worth at every K.

`iou_QK` is the label IoU (intersection over union of the positive findings) of the query with the volume at
each rank, nearest first; 0 where a query has no findings or the gallery has no more volumes. Every function
returns (Q, K), column k - 1 being the value at K = k; a figure is the mean over the queries.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
DEPTH = 50  # the deepest rank of the volume to volume figures


def label_overlap(iou_QK: Values, found_Q: NDArray[np.int64]) -> Values:
    """Return the mean label IoU of the top K.

    overlap@K = (1/min(K, n)) sum_{i<=K} iou_i, n being the volumes that the gallery has for the query; 0
    without any.

    Args:
        iou_QK: as above.
        found_Q: n.
    """
    counted = np.minimum(_ranks(iou_QK), np.maximum(found_Q, 1)[:, None])
    overlap: Values = np.cumsum(iou_QK, axis=1) / counted
    return overlap


def paper_iou(iou_QK: Values) -> Values:
    """Return graded average precision, as the paper's text gives it.

    AP@K = (1/K) sum_{i<=K} P(i) rel(i), rel(i) = iou_i, P(i) = (1/i) sum_{j<=i} rel(j).

    Source:
        arXiv 2403.17834, volume-to-volume retrieval; its normaliser is not preserved, and 1/K is ours.
    """
    precision: Values = _sums_of_precision(iou_QK) / _ranks(iou_QK)
    return precision


def binary(relevant_QK: NDArray[np.bool_], relevant_Q: NDArray[np.int64]) -> Values:
    """Return average precision over what K ranks could hold.

    AP@K = (1/min(R, K)) sum_{i<=K} P(i) rel(i), rel(i) = 1 where a finding is shared, P(i) the share of
    relevant volumes among the first i, R the relevant ones of the query's gallery; 0 where R = 0.

    Args:
        relevant_QK: rel.
        relevant_Q: R.
    """
    most = np.minimum(np.maximum(relevant_Q, 1)[:, None], _ranks(relevant_QK))
    precision: Values = _sums_of_precision(relevant_QK.astype(np.float64)) / most
    return precision


def _sums_of_precision(rel_QK: Values) -> Values:
    precision_QK = np.cumsum(rel_QK, axis=1) / _ranks(rel_QK)
    sums: Values = np.cumsum(precision_QK * rel_QK, axis=1)
    return sums


def _ranks(values_QK: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.arange(1, values_QK.shape[1] + 1)
