"""Average precision in its three definitions, on rankings worked by hand and against ir-measures."""

import ir_measures
import numpy as np
import pytest
from ir_measures import AP

from retrieval.evaluation import measures
from retrieval.evaluation.trec import binary_trec

# one query, its ranking's label IoU with it: 1, 0, 1/2, 1/4
IOU = np.array([[1.0, 0.0, 1 / 2, 1 / 4]])


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, 1.0),
        (2, (1 + 0) / 2),
        (3, (1 + 0 + 1 / 2) / 3),
        (4, (1 + 0 + 1 / 2 + 1 / 4) / 4),
    ],
)
def test_label_overlap_is_the_mean_of_the_top_k(k: int, expected: float) -> None:
    assert measures.label_overlap(IOU, np.array([9]))[0, k - 1] == pytest.approx(expected)


def test_label_overlap_counts_what_there_is_where_fewer_than_k_are_left() -> None:
    two_left = np.array([[1.0, 1 / 2, 0.0, 0.0]])
    assert measures.label_overlap(two_left, np.array([2]))[0].tolist() == [1.0, 0.75, 0.75, 0.75]
    assert measures.label_overlap(np.zeros((1, 4)), np.array([0]))[0].tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, 1.0),  # P(1) rel(1) = 1 x 1
        (2, 1.0 / 2),  # rank 2 adds 1/2 x 0
        (3, (1.0 + (1.5 / 3) * 0.5) / 3),  # rank 3 adds P(3) = 1.5/3, rel(3) = 1/2
        (4, (1.0 + (1.5 / 3) * 0.5 + (1.75 / 4) * 0.25) / 4),
    ],
)
def test_the_papers_average_precision_weighs_graded_precision_by_graded_relevance(
    k: int, expected: float
) -> None:
    assert measures.paper_iou(IOU)[0, k - 1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("relevant", "k", "expected"),
    [
        (3, 1, 1.0),  # over min(3, 1)
        (3, 2, 1.0 / 2),
        (3, 3, (1 + 2 / 3) / 3),
        (3, 4, (1 + 2 / 3 + 3 / 4) / 3),  # over min(3, 4)
        (9, 4, (1 + 2 / 3 + 3 / 4) / 4),  # six more lie deeper: over min(9, 4)
    ],
)
def test_binary_average_precision_is_divided_by_what_k_ranks_could_hold(
    relevant: int, k: int, expected: float
) -> None:
    assert measures.binary(IOU > 0, np.array([relevant]))[0, k - 1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("relevant", "k", "expected"),
    [
        (3, 1, 1.0 / 3),
        (3, 3, (1 + 2 / 3) / 3),
        (9, 4, (1 + 2 / 3 + 3 / 4) / 9),  # over all nine, found or not
    ],
)
def test_trecs_average_precision_is_divided_by_all_that_is_relevant(
    relevant: int, k: int, expected: float
) -> None:
    assert binary_trec(IOU > 0, np.array([relevant]), [k])[0, 0] == pytest.approx(expected)


def test_a_query_without_anything_relevant_has_no_precision() -> None:
    nothing = np.zeros((1, 4), bool)
    assert measures.binary(nothing, np.array([0]))[0].tolist() == [0.0] * 4
    assert binary_trec(nothing, np.array([0]), [1, 4])[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_trecs_average_precision_is_that_of_ir_measures_over_complete_judgements(seed: int) -> None:
    draw = np.random.default_rng(seed)
    queries, gallery, depth, ks = 7, 30, 12, [1, 5, 10, 12]
    similarity = draw.permuted(np.tile(np.arange(gallery, dtype=float), (queries, 1)), axis=1)
    relevant = draw.random((queries, gallery)) < 0.3
    judged = {str(q): {f"d{g}": int(relevant[q, g]) for g in range(gallery)} for q in range(queries)}
    run = {str(q): {f"d{g}": similarity[q, g] for g in range(gallery)} for q in range(queries)}
    expected = {
        (metric.query_id, metric.measure): metric.value
        for metric in ir_measures.iter_calc([AP @ k for k in ks], judged, run)
    }
    order = np.argsort(-similarity, axis=1)[:, :depth]
    found = binary_trec(np.take_along_axis(relevant, order, axis=1), relevant.sum(axis=1), ks)
    for q in range(queries):
        for column, k in enumerate(ks):
            assert found[q, column] == pytest.approx(expected[str(q), AP @ k], abs=1e-9)
