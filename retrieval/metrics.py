"""Scores of a retriever, one function each: arrays in, a number out."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Flags = NDArray[np.bool_]


def label_iou(query_QC: Flags, gallery_GC: Flags) -> NDArray[np.float64]:
    """Intersection over union of the positive labels of every pair, (Q, G); 0 where neither has a label."""
    shared = query_QC.astype(np.float64) @ gallery_GC.T.astype(np.float64)
    either = query_QC.sum(1)[:, None] + gallery_GC.sum(1)[None, :] - shared
    overlap: NDArray[np.float64] = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    return overlap


def label_overlap_at_k(
    similarity_NN: Scores, labels_NC: Flags, study_N: NDArray[np.generic], k: int
) -> NDArray[np.float64]:
    """Mean label IoU of each volume's k most similar ones, (N,).

    The queries are all volumes; the gallery is the volumes with at least one label, without those of the
    query's own study. Where fewer than k are left, all count: then it is what a retriever that knows nothing
    has on average.

    Args:
        similarity_NN: row is the query; higher is nearer.
        labels_NC: present or absent.
        study_N: which study each volume belongs to.
        k: how many of the nearest count.
    """
    iou = label_iou(labels_NC, labels_NC)
    kept = _gallery(labels_NC, study_N)
    return np.array([_top(similarity_NN[q], kept[q], iou[q], k) for q in range(len(labels_NC))])


def _gallery(labels_NC: Flags, study_N: NDArray[np.generic]) -> Flags:
    other: Flags = study_N[:, None] != study_N[None, :]
    return np.asarray(labels_NC.any(1))[None, :] & other


def _top(similarity: Scores, kept: Flags, value: Scores, k: int) -> float:
    candidates = np.flatnonzero(kept)
    if not len(candidates):
        return 0.0
    nearest = candidates[np.argsort(-similarity[candidates], kind="stable")[:k]]
    return float(value[nearest].mean())


def recall_at_k(
    similarity_QN: Scores, query_study_Q: NDArray[np.generic], study_N: NDArray[np.generic], k: int
) -> float:
    """Share of the queries whose own study is among the k best of all studies; see `studies_before`."""
    return float((studies_before(similarity_QN, query_study_Q, study_N) < k).mean())


def studies_before(
    similarity_QN: Scores, query_study_Q: NDArray[np.generic], study_N: NDArray[np.generic]
) -> NDArray[np.int64]:
    """How many studies come before the query's own, (Q,).

    A study counts as its most similar volume. Ties count against the retriever.

    Args:
        similarity_QN: of every query with every volume.
        query_study_Q: the study that each query belongs to.
        study_N: the study that each volume belongs to.
    """
    studies, member = np.unique(study_N, return_inverse=True)
    best = np.full((len(similarity_QN), len(studies)), -np.inf)
    for volume, study in enumerate(member):
        np.maximum(best[:, study], similarity_QN[:, volume], out=best[:, study])
    column = np.searchsorted(studies, query_study_Q)
    own = best[np.arange(len(best)), column]
    before: NDArray[np.int64] = (best >= own[:, None]).sum(1) - 1
    return before


def auroc(score_N: Scores, present_N: Flags) -> float:
    """Probability that a positive scores higher than a negative, ties counting half; NaN without either.

    Source:
        Mann and Whitney 1947; Hanley and McNeil, Radiology 1982.
    """
    positive, negative = score_N[present_N], score_N[~present_N]
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    through = np.searchsorted(ordered, positive, side="right")
    return float((below + through).mean() / 2 / len(negative))
