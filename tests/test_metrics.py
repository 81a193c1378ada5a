"""Retrieval scores on rankings worked by hand."""

import math

import numpy as np
import pytest

from retrieval.metrics import auroc, label_iou, label_overlap_at_k, recall_at_k

# two scans a and b of two reconstructions each, and c, d of one; labels by scan
STUDY = np.array(["a", "a", "b", "b", "c", "d"])
LABELS = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=bool)


def test_label_iou_is_shared_over_either_and_nothing_over_nothing_is_zero() -> None:
    iou = label_iou(LABELS, LABELS)
    assert iou[0, 1] == 1.0
    assert iou[0, 2] == pytest.approx(1 / 2)
    assert iou[0, 4] == pytest.approx(1 / 3)
    assert iou[2, 4] == 0.0
    assert iou[5, 5] == 0.0


def test_label_overlap_leaves_out_the_own_scan_and_cases_without_labels() -> None:
    similarity = np.zeros((6, 6))
    similarity[0] = [9, 8, 3, 2, 5, 7]  # a: left with c (1/3), b (1/2), b (1/2)
    similarity[1] = [9, 8, 3, 5, 2, 7]  # a: b, b, c
    similarity[2] = [1, 4, 9, 9, 3, 7]  # b: a (1/2), c (0), a (1/2)
    similarity[3] = [4, 1, 9, 9, 3, 7]  # b: a, c, a
    similarity[4] = [1, 2, 4, 3, 9, 7]  # c: b (0), b (0), a (1/3), a (1/3)
    similarity[5] = [4, 3, 2, 1, 0, 9]  # d has no label: every overlap is 0
    at_1 = (1 / 3 + 1 / 2 + 1 / 2 + 1 / 2 + 0 + 0) / 6
    at_2 = ((1 / 3 + 1 / 2) / 2 + 1 / 2 + 1 / 4 + 1 / 4 + 0 + 0) / 6
    assert label_overlap_at_k(similarity, LABELS, STUDY, 1).mean() == pytest.approx(at_1)
    assert label_overlap_at_k(similarity, LABELS, STUDY, 2).mean() == pytest.approx(at_2)
    by_chance = (2 * (1 / 2 + 1 / 2 + 1 / 3) / 3 + 2 * (1 / 2 + 1 / 2 + 0) / 3 + (1 / 3 + 1 / 3) / 4) / 6
    assert label_overlap_at_k(similarity, LABELS, STUDY, 99).mean() == pytest.approx(by_chance)


def test_recall_counts_scans_by_their_best_reconstruction() -> None:
    queries = np.array(["a", "b", "c", "d"])
    similarity = np.array(
        [
            [0, 9, 1, 1, 1, 1],  # a: first, by its second reconstruction
            [9, 9, 1, 5, 1, 1],  # b: second; the two of a are one scan
            [9, 1, 8, 1, 7, 1],  # c: third
            [5, 5, 5, 5, 5, 5],  # d: ties with all, counted against it: fourth
        ]
    )
    expected = {1: 1 / 4, 2: 2 / 4, 3: 3 / 4, 4: 1.0}
    for k, value in expected.items():
        assert recall_at_k(similarity, queries, STUDY, k) == pytest.approx(value)


@pytest.mark.parametrize(
    ("scores", "present", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0),
        ([1, 3, 2, 4], [0, 0, 1, 1], 3 / 4),  # of four pairs, (3, 2) is the wrong way round
        ([2, 2, 2, 2], [0, 1, 0, 1], 1 / 2),
    ],
)
def test_auroc_counts_pairs(scores: list[float], present: list[int], expected: float) -> None:
    assert auroc(np.array(scores, dtype=float), np.array(present, dtype=bool)) == pytest.approx(expected)


def test_auroc_of_one_kind_alone_is_not_a_number() -> None:
    assert math.isnan(auroc(np.array([1.0, 2.0]), np.array([True, True])))
