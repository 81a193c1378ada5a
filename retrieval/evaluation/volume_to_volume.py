"""Volume to volume: what the nearest volumes of each are worth, the honest way and the published one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation import floors, measures
from retrieval.evaluation.figures import VOLUME_KS, FigurePath
from retrieval.evaluation.pairs import Pairs, Places, members_of, pair_products, rounding_of
from retrieval.evaluation.patterns import (
    GallerySums,
    Patterns,
    pattern_iou,
    patterns,
    sums_over_gallery,
    sums_over_own_study,
)
from retrieval.evaluation.pool import Codes, Pool, coded, unit_rows
from retrieval.evaluation.ranking import Neighbours, Progress, nearest
from retrieval.evaluation.trec import binary_trec

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRankings:
    """The top 50 of every volume, and what there was to be found.

    Attributes:
        neighbours: rows of the pool, the query's own study left out.
        iou_NK: label IoU of the query with each of them.
        script_iou_NK: the same where the query and its siblings can be found, equals in the source's order.
        found: sums over the gallery without the query's study.
        own, everything: over the volumes of the query's study that can be found, and over all that can.
        labelled_N: whether the query itself has a finding.
    """

    neighbours: Neighbours
    iou_NK: Values
    script_iou_NK: Values
    found: GallerySums
    own: GallerySums
    everything: GallerySums
    labelled_N: NDArray[np.bool_]


def rank_volumes(pool: Pool, progress: Progress | None = None) -> VolumeRankings:
    """Rank the labelled volumes of a pool for each of its volumes."""
    study_N, unit_NL, label_N = coded(pool.study_N), unit_rows(pool.volume_NL), patterns(pool.present_NC)
    gallery = np.flatnonzero(label_N)
    by_name, by_source = (
        Neighbours(place_QK=_places(gallery, ranked.place_QK), similarity_QK=ranked.similarity_QK)
        for ranked in nearest(
            unit_NL,
            unit_NL[gallery],
            measures.DEPTH,
            study_Q=study_N,
            study_G=study_N[gallery],
            ties=(coded(pool.name_N)[gallery], gallery),
            progress=progress,
        )
    )
    everything = sums_over_gallery(label_N, label_N[gallery])
    own = sums_over_own_study(label_N, label_N[gallery], study_N, study_N[gallery])
    return VolumeRankings(
        neighbours=by_name,
        iou_NK=_iou(label_N, by_name.place_QK),
        script_iou_NK=_iou(label_N, _with_own_study(unit_NL, study_N, gallery, by_source)),
        found=everything.without(own),
        own=own,
        everything=everything,
        labelled_N=label_N > 0,
    )


def _places(gallery: Places, place_QK: Places) -> Places:
    places: Places = np.where(place_QK < 0, -1, gallery[place_QK])
    return places


def _iou(label_N: Patterns, place_NK: Places) -> Values:
    iou: Values = np.where(place_NK < 0, 0.0, pattern_iou(label_N[:, None], label_N[place_NK]))
    return iou


def _with_own_study(
    unit_NL: NDArray[np.float32], study_N: Codes, gallery: Places, neighbours: Neighbours
) -> Places:
    """Merge the top 50 with the query and its siblings, and keep 50; equals in the source's order."""
    count = len(unit_NL)
    rows, members = members_of(study_N, study_N[gallery])
    own = gallery[members]
    other_rows, ranks = np.nonzero(neighbours.place_QK >= 0)
    pairs = Pairs(
        rows=np.concatenate([rows, other_rows]),
        columns=np.concatenate([own, neighbours.place_QK[other_rows, ranks]]),
        products=np.concatenate(
            [pair_products(unit_NL, rows, unit_NL, own), neighbours.similarity_QK[other_rows, ranks]]
        ),
    )
    pairs.settle(unit_NL, unit_NL, rounding_of(unit_NL, unit_NL))
    return pairs.first_k(count, measures.DEPTH, np.arange(count))[0]


def volume_values(rankings: VolumeRankings, ks: Sequence[int] = VOLUME_KS) -> dict[FigurePath, Values]:
    """Return each query's value of every figure that is a mean over the queries.

    Raises:
        ConfigError: ir-measures is not installed.
    """
    relevant_NK = rankings.iou_NK > 0
    by_trec = binary_trec(relevant_NK, rankings.found.relevant, ks)
    by_rank = {
        ("label_overlap",): measures.label_overlap(rankings.iou_NK, rankings.found.volumes),
        ("map", "paper_iou"): measures.paper_iou(rankings.iou_NK),
        ("map", "binary"): measures.binary(relevant_NK, rankings.found.relevant),
    }
    values = {(*name, str(k)): of[:, k - 1] for name, of in by_rank.items() for k in ks}
    return values | {("map", "binary_trec", str(k)): by_trec[:, column] for column, k in enumerate(ks)}


def script_cumulative(rankings: VolumeRankings) -> dict[FigurePath, float]:
    """Return what the published script prints.

    The query and its siblings can be found, a query without findings counts 0, and its list of per-query
    means is not emptied between K = 1, 5, 10 and 50: the figure at K is the mean of overlap@K' over K' <= K.

    Source:
        CT-CLIP, scripts/volume_to_volume_new.py.
    """
    at_k = measures.label_overlap(rankings.script_iou_NK, rankings.everything.volumes).mean(axis=0)
    return _cumulative({k: float(at_k[k - 1]) for k in VOLUME_KS})


def volume_floors(rankings: VolumeRankings, ks: Sequence[int] = VOLUME_KS) -> dict[FigurePath, float]:
    """Return what knowing nothing, and knowing the own scan alone, would give; see DEFINITIONS["floor"]."""
    random = _random_figures(rankings.found, ks)
    headline = {(k,): value for (*name, k), value in random.items() if name == ["label_overlap"]}
    anything = float(floors.random_overlap(rankings.everything).mean())
    labelled = rankings.labelled_N.astype(np.float64)
    siblings = {
        k: float(floors.siblings_first_overlap(rankings.everything, rankings.own, labelled, k).mean())
        for k in VOLUME_KS
    }
    of_script = _cumulative(siblings)
    both = {
        "random": headline
        | random
        | _under("script_cumulative", _cumulative(dict.fromkeys(VOLUME_KS, anything))),
        "siblings_first": of_script | random | _under("script_cumulative", of_script),
    }
    return {
        ("floor", name, *path): value for name, figures in both.items() for path, value in figures.items()
    }


def _random_figures(found: GallerySums, ks: Sequence[int]) -> dict[FigurePath, float]:
    figures: dict[FigurePath, float] = {}
    overlap = float(floors.random_overlap(found).mean())
    for k in ks:
        figures["label_overlap", str(k)] = overlap
        figures["map", "paper_iou", str(k)] = float(floors.random_paper_iou(found, k).mean())
        figures["map", "binary", str(k)] = float(floors.random_binary(found, k).mean())
        figures["map", "binary_trec", str(k)] = float(floors.random_binary_trec(found, k).mean())
    return figures


def _cumulative(at_k: dict[int, float]) -> dict[FigurePath, float]:
    return {(str(k),): float(np.mean([value for lower, value in at_k.items() if lower <= k])) for k in at_k}


def _under(name: str, figures: dict[FigurePath, float]) -> dict[FigurePath, float]:
    return {(name, *path): value for path, value in figures.items()}
