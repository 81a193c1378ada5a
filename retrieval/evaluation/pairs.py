"""Pairs of a query and a volume: their exact products, and which of them come first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.pool import Codes, Latents

Places = NDArray[np.intp]
_ROWS_AT_ONCE = 1 << 10  # stay in the cache: 16 times as many take three times as long each
_PRODUCTS_AT_ONCE = 1 << 24  # 128 MB
_DENSE = 0.25  # share of all pairs above which computing them all is quicker than gathering some
_ROUNDING = 1e-5  # of a float32 product of two unit vectors, with room to spare


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Queries and what may be near them, (P,) each: query, place in the gallery, inner product."""

    rows: Places
    columns: Places
    products: NDArray[np.float64]

    def settle(self, query_QL: Latents, gallery_GL: Latents, rounding: float) -> None:
        """Compute those products in float64 whose order the rounding of float32 may have turned."""
        order = np.lexsort((self.products, self.rows))
        touches = (np.diff(self.products[order]) <= 2 * rounding) & (np.diff(self.rows[order]) == 0)
        close = np.union1d(order[:-1][touches], order[1:][touches])
        self.products[close] = pair_products(query_QL, self.rows[close], gallery_GL, self.columns[close])

    def first_k(self, queries: int, k: int, tie_G: Codes) -> tuple[Places, NDArray[np.float64]]:
        """Return the columns (queries, k) of each query's largest products, and these, ties by `tie_G`.

        Where fewer are left, the column is -1 and the product 0.
        """
        order = np.lexsort((tie_G[self.columns], -self.products, self.rows))
        rows = self.rows[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
        rows, rank, order = rows[rank < k], rank[rank < k], order[rank < k]
        place = np.full((queries, k), -1, np.intp)
        product = np.zeros((queries, k))
        place[rows, rank] = self.columns[order]
        product[rows, rank] = self.products[order]
        return place, product


def pair_products(left: Latents, rows: Places, right: Latents, columns: Places) -> NDArray[np.float64]:
    """Return the inner products (P,) of pairs of rows, in float64: equal vectors give equal products.

    BLAS gives no such promise: what it returns for a pair depends on where in a matrix the pair stands.
    """
    pairs = len(left) * len(right)
    if len(rows) > pairs * _DENSE and pairs <= _PRODUCTS_AT_ONCE:
        return _all_products(left, right)[rows, columns]
    products = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        products[part] = np.einsum(
            "pl,pl->p", left[rows[part]].astype(np.float64), right[columns[part]].astype(np.float64)
        )
    return products


def _all_products(left: Latents, right: Latents) -> NDArray[np.float64]:
    """Return the products of all pairs, each summed as that of a single pair is."""
    products = np.empty((len(left), len(right)))
    for start in range(0, len(right), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        products[:, part] = np.einsum(
            "ql,gl->qg", left.astype(np.float64), right[part].astype(np.float64), optimize=False
        )
    return products


def members_of(study_Q: Codes, study_G: Codes) -> tuple[Places, Places]:
    """Return every pair (query, place in the gallery) of one study, by query."""
    by_study = np.argsort(study_G, kind="stable")
    ordered = study_G[by_study]
    first = np.searchsorted(ordered, study_Q, side="left")
    count = np.searchsorted(ordered, study_Q, side="right") - first
    rows = np.repeat(np.arange(len(study_Q)), count)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return rows, by_study[np.repeat(first, count) + within]


def rounding_of(left: Latents, right: Latents) -> float:
    """Return how far a float32 inner product of two rows may be from the exact one."""
    longest = (np.sqrt(np.einsum("nl,nl->n", of, of).max(initial=0.0)) for of in (left, right))
    return float(_ROUNDING * np.prod(list(longest)))
