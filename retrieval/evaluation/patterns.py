"""Findings as bit patterns: pools have few distinct ones, so that sums over a whole gallery stay cheap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.pairs import Places, members_of
from retrieval.evaluation.pool import Codes

Patterns = NDArray[np.uint32]
_PATTERN_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class GallerySums:
    """What each query could find, each (Q,): the sums that expectations and normalisers are made of.

    Attributes:
        volumes: how many volumes of the gallery count.
        relevant: how many of them share a finding with the query.
        iou, iou_squared: the sums of their label IoU with the query, and of its square.
    """

    volumes: NDArray[np.int64]
    relevant: NDArray[np.int64]
    iou: NDArray[np.float64]
    iou_squared: NDArray[np.float64]

    def without(self, other: "GallerySums") -> "GallerySums":
        """Return the sums over the volumes that `other` does not hold."""
        return GallerySums(
            volumes=self.volumes - other.volumes,
            relevant=self.relevant - other.relevant,
            iou=self.iou - other.iou,
            iou_squared=self.iou_squared - other.iou_squared,
        )


def patterns(present_NC: NDArray[np.bool_]) -> Patterns:
    """Return the findings of each volume as the bits of a number."""
    bits = np.uint32(1) << np.arange(present_NC.shape[1], dtype=np.uint32)
    numbers: Patterns = (present_NC * bits).sum(axis=1, dtype=np.uint32)
    return numbers


def pattern_iou(one: Patterns, other: Patterns) -> NDArray[np.float64]:
    """Return intersection over union of the findings, element by element; 0 where neither has any."""
    shared = np.bitwise_count(one & other).astype(np.float64)
    either = np.bitwise_count(one | other)
    overlap: NDArray[np.float64] = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    return overlap


def sums_over_gallery(query_Q: Patterns, gallery_G: Patterns) -> GallerySums:
    """Sum over the whole gallery, once for each pair of distinct patterns."""
    asked, asked_of = np.unique(query_Q, return_inverse=True)
    held, count = np.unique(gallery_G, return_counts=True)
    relevant = np.zeros(len(asked), np.int64)
    iou, squared = np.zeros(len(asked)), np.zeros(len(asked))
    size = max(1, _PATTERN_PAIRS_AT_ONCE // max(len(held), 1))
    for start in range(0, len(asked), size):
        part = slice(start, start + size)
        overlap = pattern_iou(asked[part, None], held[None, :])
        relevant[part] = (overlap > 0) @ count
        iou[part] = overlap @ count
        squared[part] = np.square(overlap) @ count
    return GallerySums(
        volumes=np.full(len(query_Q), len(gallery_G), np.int64),
        relevant=relevant[asked_of],
        iou=iou[asked_of],
        iou_squared=squared[asked_of],
    )


def sums_over_own_study(
    query_Q: Patterns, gallery_G: Patterns, study_Q: Codes, study_G: Codes
) -> GallerySums:
    """Sum over those volumes of the gallery that belong to the query's study, the query itself with them."""
    rows, members = members_of(study_Q, study_G)
    overlap = pattern_iou(query_Q[rows], gallery_G[members])
    return GallerySums(
        volumes=_by_query(rows, None, len(query_Q)).astype(np.int64),
        relevant=_by_query(rows, overlap > 0, len(query_Q)).astype(np.int64),
        iou=_by_query(rows, overlap, len(query_Q)),
        iou_squared=_by_query(rows, np.square(overlap), len(query_Q)),
    )


def _by_query(
    rows: Places, values: NDArray[np.float64] | NDArray[np.bool_] | None, queries: int
) -> NDArray[np.float64]:
    return np.bincount(rows, weights=values, minlength=queries).astype(np.float64)
