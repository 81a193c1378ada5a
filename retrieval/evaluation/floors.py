"""What a retriever gets that knows nothing, or nothing but "same scan first": expectations, not samples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.patterns import GallerySums

Values = NDArray[np.float64]


def random_overlap(found: GallerySums) -> Values:
    """Return the expected overlap@K (Q,) of a random ranking: the gallery's mean IoU, whatever K is."""
    return _ratio(found.iou, found.volumes)


def random_paper_iou(found: GallerySums, k: int) -> Values:
    """Return the expected graded AP@K (Q,) of a random ranking.

    For ranks i != j of a random order of n volumes, E[rel(i)^2] = S2/n and E[rel(i) rel(j)] =
    (S1^2 - S2)/(n(n-1)), S1 and S2 being the sums of rel and of its square over the gallery; so
    E[P(i) rel(i)] = (1/i)(S2/n + (i-1)(S1^2 - S2)/(n(n-1))), summed over i <= min(K, n).
    """
    return _expected_sum(found.iou, found.iou_squared, found.volumes, k) / k


def random_binary(found: GallerySums, k: int) -> Values:
    """Return the expected binary AP@K (Q,) of a random ranking: as above, over min(relevant, K)."""
    relevant = found.relevant.astype(np.float64)
    return _ratio(_expected_sum(relevant, relevant, found.volumes, k), np.minimum(found.relevant, k))


def random_binary_trec(found: GallerySums, k: int) -> Values:
    """Return the expected AP@K (Q,) of a random ranking over all that is relevant."""
    relevant = found.relevant.astype(np.float64)
    return _ratio(_expected_sum(relevant, relevant, found.volumes, k), found.relevant)


def siblings_first_overlap(everything: GallerySums, own: GallerySums, labelled_Q: Values, k: int) -> Values:
    """Return the expected overlap@K (Q,) of "same scan first" where the query itself can be found.

    The query comes first, then its siblings in random order, then all others in random order.

    Args:
        everything: over the gallery, the query and its siblings with it.
        own: over the query's study.
        labelled_Q: 1 where the query has a finding and so stands in the gallery, else 0.
        k: K.
    """
    others = everything.without(own)
    of_sibling = _ratio(own.iou - labelled_Q, own.volumes - labelled_Q)
    of_other = _ratio(others.iou, others.volumes)
    from_own = np.minimum(own.volumes, k)
    from_others = np.minimum(others.volumes, k - from_own)
    itself = np.minimum(labelled_Q, from_own)
    total = itself + (from_own - itself) * of_sibling + from_others * of_other
    return _ratio(total, from_own + from_others)


def random_recall(queries: int, pool: int, ks: Sequence[int]) -> dict[int, float]:
    """Return K over the pool: the chance that one right answer is among K drawn ones; 0 without queries."""
    return {k: min(1.0, k / pool) if queries else 0.0 for k in ks}


def _expected_sum(first: Values, second: Values, volumes: NDArray[np.int64], k: int) -> Values:
    """Return the expected sum of P(i) rel(i) over i <= min(k, n), from the sums of rel and of its square."""
    same = _ratio(second, volumes)
    differing = _ratio(np.square(first) - second, volumes * (volumes - 1))
    ranks = np.minimum(volumes, k)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, k + 1))])[ranks]
    expected: Values = same * harmonic + differing * (ranks - harmonic)
    return expected


def _ratio(over: Values, under: NDArray[np.generic]) -> Values:
    below = under.astype(np.float64)
    ratio: Values = np.divide(over, below, out=np.zeros(len(below)), where=below > 0)
    return ratio
