"""Exact rankings of many queries in blocks: no N x N matrix, and equal latents tie in every block.

A block's similarities are one float32 matrix product. What lies so near a decision that its rounding could
turn it (the K-th place, the right answer's own place) is computed again in float64, a pair at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.pairs import Pairs, Places, members_of, pair_products, rounding_of
from retrieval.evaluation.pool import Codes, Latents

_BLOCK_NUMBERS = 1 << 24  # similarities at once: 64 MB of float32
_MOST_QUERIES = 1024


class Progress(Protocol):
    """What long work tells of itself; `retrieval.index_summary.IndexProgress` is one."""

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        """Say how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The nearest volumes of each query, nearest first.

    Attributes:
        place_QK: rows of the gallery or pool, -1 where fewer are left.
        similarity_QK: inner products within the rounding of float32; 0 there.
    """

    place_QK: Places
    similarity_QK: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """How many volumes or studies are as near to a report as its own, each (Q,).

    Attributes:
        nearer: volumes strictly nearer than the report's own volume.
        tied: other volumes exactly as near; tied_before: those of them that stand before it in the pool.
        studies_before: other studies whose best volume is at least as near as the own study's best.
    """

    nearer: NDArray[np.int64]
    tied: NDArray[np.int64]
    tied_before: NDArray[np.int64]
    studies_before: NDArray[np.int64]


def blocks(queries: int, gallery: int, progress: Progress | None, step: str) -> Iterator[slice]:
    """Yield slices of the queries whose similarities with the gallery fit in memory."""
    size = max(1, min(_MOST_QUERIES, _BLOCK_NUMBERS // max(gallery, 1)))
    for start in range(0, queries, size):
        yield slice(start, min(start + size, queries))
        if progress is not None:
            progress.update(done=min(start + size, queries), total=queries, failed=0, step=step)


def nearest(
    query_QL: Latents,
    gallery_GL: Latents,
    k: int,
    *,
    study_Q: Codes | None = None,
    study_G: Codes,
    ties: Sequence[Codes],
    step: str = "volume to volume",
    progress: Progress | None = None,
) -> list[Neighbours]:
    """Return the k nearest of a gallery by inner product, without those of the query's own study.

    Args:
        query_QL: what is looked for.
        gallery_GL: what can be found.
        k: how many at most.
        study_Q: the study of each query, whose volumes are left out; None leaves out none.
        study_G: the study of each gallery volume.
        ties: orders (G,) of the gallery, an answer each: of two that are equally near, the lower comes first.
        step: what the progress calls this.
        progress: told after each block.
    """
    answers = [
        Neighbours(
            place_QK=np.full((len(query_QL), k), -1, np.intp), similarity_QK=np.zeros((len(query_QL), k))
        )
        for _ in ties
    ]
    rounding = rounding_of(query_QL, gallery_GL)
    for block in blocks(len(query_QL), len(gallery_GL), progress, step):
        similarity = query_QL[block] @ gallery_GL.T
        if study_Q is not None:
            similarity[members_of(study_Q[block], study_G)] = -np.inf
        rows, columns = _candidates(similarity, k, rounding)
        products = similarity[rows, columns].astype(np.float64)
        pairs = Pairs(rows=rows, columns=columns, products=products)
        pairs.settle(query_QL[block], gallery_GL, rounding)
        for answer, tie_G in zip(answers, ties, strict=True):
            answer.place_QK[block], answer.similarity_QK[block] = pairs.first_k(len(similarity), k, tie_G)
    return answers


def _candidates(similarity: NDArray[np.float32], k: int, rounding: float) -> tuple[Places, Places]:
    """Return the pairs of a block that may be among the k nearest, the k-th place's rounding allowed for."""
    width = similarity.shape[1]
    k = min(k, width)
    kth = np.partition(similarity, width - k, axis=1)[:, width - k]
    lowest = np.maximum(kth - np.float32(2 * rounding), np.finfo(np.float32).min)
    flat = np.flatnonzero(similarity >= lowest[:, None])
    return np.divmod(flat, width)


def rank_own(
    query_QL: Latents,
    own_Q: Places,
    volume_NL: Latents,
    study_N: Codes,
    *,
    step: str = "report to volume",
    progress: Progress | None = None,
) -> Ranks:
    """Return how near each report is to its own volume, among all volumes and among all studies.

    Args:
        query_QL: of the reports.
        own_Q: the place of the volume that each is the report of.
        volume_NL: of all volumes.
        study_N: the study of each volume.
        step: what the progress calls this.
        progress: told after each block.
    """
    by_study = np.argsort(study_N, kind="stable")
    gallery = _Gallery(
        latent_NL=volume_NL[by_study],
        study_N=study_N[by_study],
        place_N=by_study,
        rounding=rounding_of(query_QL, volume_NL),
    )
    own_column = np.argsort(by_study)[own_Q]
    found = np.zeros((4, len(query_QL)), np.int64)
    for block in blocks(len(query_QL), len(volume_NL), progress, step):
        found[:, block] = gallery.rank(query_QL[block], own_column[block])
    return Ranks(nearer=found[0], tied=found[1], tied_before=found[2], studies_before=found[3])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gallery:
    """All volumes, ordered by study."""

    latent_NL: Latents
    study_N: Codes
    place_N: Places  # in the pool
    rounding: float

    def rank(self, query_QL: Latents, own_Q: Places) -> NDArray[np.int64]:
        similarity = query_QL @ self.latent_NL.T
        queries = np.arange(len(query_QL))
        own = pair_products(query_QL, queries, self.latent_NL, own_Q)
        nearer, rows, columns, exact = self._against(similarity, own, query_QL)
        above = exact > own[rows]
        tied = (exact == own[rows]) & (columns != own_Q[rows])
        before = tied & (self.place_N[columns] < self.place_N[own_Q[rows]])
        counts = [np.bincount(rows[flag], minlength=len(queries)) for flag in (above, tied, before)]
        return np.stack(
            [
                np.count_nonzero(nearer, axis=1) + counts[0],
                counts[1],
                counts[2],
                self._studies_before(similarity, query_QL, own_Q),
            ]
        )

    def _studies_before(
        self, similarity: NDArray[np.float32], query_QL: Latents, own_Q: Places
    ) -> NDArray[np.int64]:
        rows, members = members_of(self.study_N[own_Q], self.study_N)
        starts = np.searchsorted(rows, np.arange(len(query_QL)))
        best = np.maximum.reduceat(pair_products(query_QL, rows, self.latent_NL, members), starts)
        ahead, near_rows, near_columns, exact = self._against(similarity, best, query_QL)
        ahead[near_rows, near_columns] = exact >= best[near_rows]
        ahead[rows, members] = False
        of_studies = np.flatnonzero(np.diff(self.study_N, prepend=-1))
        before: NDArray[np.int64] = np.logical_or.reduceat(ahead, of_studies, axis=1).sum(axis=1)
        return before

    def _against(
        self, similarity: NDArray[np.float32], bar_Q: NDArray[np.float64], query_QL: Latents
    ) -> tuple[NDArray[np.bool_], Places, Places, NDArray[np.float64]]:
        """Return which volumes are surely above each bar, and the pairs that may be, with exact products."""
        surely = similarity > (bar_Q + self.rounding).astype(np.float32)[:, None]
        maybe = similarity >= (bar_Q - self.rounding).astype(np.float32)[:, None]
        rows, columns = np.divmod(np.flatnonzero(maybe & ~surely), similarity.shape[1])
        return surely, rows, columns, pair_products(query_QL, rows, self.latent_NL, columns)
