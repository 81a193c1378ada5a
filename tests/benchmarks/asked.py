"""What is asked: filters of a wanted selectivity, the cases that ask, and the answers by brute force."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from retrieval.filters import AgeRange, Filters
from tests.benchmarks.archive import MANUFACTURERS, Archive

K = 10
SHARES = (0.5, 0.1, 0.01, 0.001)
_AGES = ((18, 39), (40, 60), (61, 90), (80, 90))
_FAR_SHARE = (0.01, 0.2)  # of the cases that a far filter leaves
_FARTHEST = 0.02  # of the cases ask it


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One filter, the volumes that ask under it, and what is to be found.

    Attributes:
        name: for the table.
        matches_N: which volumes match; None is all.
        query_Q: rows of the archive.
        studies_QK: the nearest studies that match, without the query's own; -1 where there are fewer.
        volumes_QK: the nearest volumes that match, the query itself among them if it does.
    """

    name: str
    filters: Filters
    matches_N: NDArray[np.bool_] | None
    query_Q: NDArray[np.int64]
    studies_QK: NDArray[np.int64]
    volumes_QK: NDArray[np.int64]

    @property
    def share(self) -> float:
        """Of the volumes that match."""
        return 1.0 if self.matches_N is None else float(self.matches_N.mean())


def everything_asked(archive: Archive, queries: int, *, seed: int) -> Iterator[Asked]:
    """Yield no filter, one of each share, and one whose cases lie far from those that ask."""
    rng = np.random.default_rng(seed)
    query_Q = rng.choice(len(archive), queries, replace=False)
    yield _asked(archive, "none", Filters(), None, query_Q)
    choices = list(_choices(archive))
    for share in SHARES:
        filters, matches_S = _closest(choices, archive, share)
        yield _asked(archive, describe(filters), filters, matches_S[archive.study_of_N], query_Q)
    filters, matches_S, far_Q = _far(archive, queries, rng)
    yield _asked(archive, f"far: {describe(filters)}", filters, matches_S[archive.study_of_N], far_Q)


def describe(filters: Filters) -> str:
    """Return filters in a few words."""
    parts = [*filters.labels, *(f"no {name}" for name in filters.without_labels)]
    if filters.sex:
        parts.append(filters.sex)
    if filters.age:
        parts.append(f"{filters.age.low:g}-{filters.age.high:g}")
    if filters.manufacturer:
        parts.append(filters.manufacturer)
    return ", ".join(parts)


def _choices(archive: Archive) -> Iterator[tuple[Filters, NDArray[np.bool_]]]:
    """Yield combinations of findings, sex, age and manufacturer with the studies that match."""
    none: list[tuple[str, ...]] = [()]
    findings = [*none, *((name,) for name in ABNORMALITIES), *combinations(ABNORMALITIES, 2)]
    for labels, sex, age, manufacturer in product(
        findings, (None, "F"), (None, *_AGES), (None, *MANUFACTURERS)
    ):
        if len(labels) == 2 and (age or manufacturer):
            continue  # enough to choose from without them
        matches_S = np.ones(len(archive.study), np.bool_)
        for name in labels:
            matches_S &= archive.present_SC[:, ABNORMALITIES.index(name)]
        if sex:
            matches_S &= archive.woman_S
        if age:
            matches_S &= (archive.age_S >= age[0]) & (archive.age_S <= age[1])
        if manufacturer:
            matches_S &= archive.manufacturer_S == MANUFACTURERS.index(manufacturer)
        between = None if age is None else AgeRange(low=age[0], high=age[1])
        yield Filters(labels=labels, sex=sex, age=between, manufacturer=manufacturer), matches_S
    for name in ABNORMALITIES:
        yield Filters(without_labels=(name,)), ~archive.present_SC[:, ABNORMALITIES.index(name)]


def _closest(
    choices: list[tuple[Filters, NDArray[np.bool_]]], archive: Archive, share: float
) -> tuple[Filters, NDArray[np.bool_]]:
    """Return the filters with a finding among them that leave closest to a share of the volumes."""
    volumes_S = np.bincount(archive.study_of_N)
    of_findings = [choice for choice in choices if choice[0].labels or choice[0].without_labels]

    def off(choice: tuple[Filters, NDArray[np.bool_]]) -> float:
        found = float((volumes_S * choice[1]).sum()) / len(archive)
        return abs(math.log(max(found, 1e-9) / share))

    return min(of_findings, key=off)


def _far(
    archive: Archive, queries: int, rng: np.random.Generator
) -> tuple[Filters, NDArray[np.bool_], NDArray[np.int64]]:
    """Return a finding, and cases that look least like those that have it."""
    best = None
    for column, name in enumerate(ABNORMALITIES):
        matches_N = archive.present_SC[archive.study_of_N, column]
        if not _FAR_SHARE[0] <= matches_N.mean() <= _FAR_SHARE[1]:
            continue
        likeness_N = archive.latent_NL @ archive.latent_NL[matches_N].mean(axis=0)
        far_F = np.argsort(likeness_N)[: max(queries, int(_FARTHEST * len(archive)))]
        likeness = float(likeness_N[far_F].mean())
        if best is None or likeness < best[0]:
            best = (likeness, name, column, far_F)
    if best is None:
        raise ValueError("no finding is rare enough to lie far from other cases")
    _, name, column, far_F = best
    return Filters(labels=(name,)), archive.present_SC[:, column], rng.choice(far_F, queries, replace=False)


def _asked(
    archive: Archive,
    name: str,
    filters: Filters,
    matches_N: NDArray[np.bool_] | None,
    query_Q: NDArray[np.int64],
) -> Asked:
    row_M = np.arange(len(archive)) if matches_N is None else np.flatnonzero(matches_N)
    latent_ML = archive.latent_NL if matches_N is None else archive.latent_NL[row_M]
    score_MQ = latent_ML @ archive.latent_NL[query_Q].T
    study_M = archive.study_of_N[row_M]
    starts = np.flatnonzero(np.r_[True, np.diff(study_M) > 0])
    best_TQ = np.maximum.reduceat(score_MQ, starts, axis=0)  # of each study that matches
    best_TQ[study_M[starts][:, None] == archive.study_of_N[query_Q][None]] = -np.inf
    return Asked(
        name=name,
        filters=filters,
        matches_N=matches_N,
        query_Q=query_Q,
        studies_QK=_nearest(best_TQ, study_M[starts]),
        volumes_QK=_nearest(score_MQ, row_M),
    )


def _nearest(score_MQ: NDArray[np.float32], key_M: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.full((score_MQ.shape[1], K), -1, np.int64)
    for query, score_M in enumerate(score_MQ.T):
        there = int(np.isfinite(score_M).sum())
        top = np.argpartition(-score_M, min(K, len(score_M)) - 1)[:K]
        top = top[np.argsort(-score_M[top])][: min(K, there)]
        found[query, : len(top)] = key_M[top]
    return found
