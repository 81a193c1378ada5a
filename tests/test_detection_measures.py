"""AUROC, F1, accuracy, precision and thresholds: hand-worked cases, scikit-learn's answers, properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, roc_auc_score, roc_curve

from retrieval.evaluation.detection.measures import Ordered, figures_by_threshold, with_mean
from retrieval.evaluation.detection.thresholds import drawn_patients, roc_points, upper_left


def auroc(score: np.ndarray, present: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    weights = np.ones((1, len(score))) if weight is None else weight
    return Ordered.of(score, present, np.ones(len(score), bool)).auroc(weights)


def test_auroc_is_the_share_of_pairs_in_the_right_order_with_ties_as_half() -> None:
    # positives 3 and 2 against negatives 2 and 1: 3 > 2, 3 > 1, 2 = 2, 2 > 1
    assert auroc(np.array([3.0, 2, 2, 1]), np.array([True, True, False, False]))[0] == 3.5 / 4


@pytest.mark.parametrize("values", [3, 10, 100_000])  # nearly all tied, some, none
def test_auroc_under_many_weightings_is_scikit_learns(values: int) -> None:
    draw = np.random.default_rng(values)
    score, present = draw.integers(0, values, 60).astype(float), draw.random(60) < 0.3
    weight = draw.integers(0, 4, (25, 60)).astype(float)
    expected = [roc_auc_score(present, score, sample_weight=one) for one in weight]
    assert auroc(score, present, weight) == pytest.approx(np.array(expected), abs=1e-12)


def test_unknown_labels_take_no_part_in_the_auroc() -> None:
    draw = np.random.default_rng(0)
    score, present, known = draw.random(50), draw.random(50) < 0.4, draw.random(50) < 0.7
    found = Ordered.of(score, present, known).auroc(np.ones((1, 50)))[0]
    assert found == pytest.approx(roc_auc_score(present[known], score[known]))


@pytest.mark.parametrize("present", [[True, True], [False, False]])
def test_auroc_of_one_kind_alone_is_not_a_number(present: list[bool]) -> None:
    assert np.isnan(auroc(np.array([1.0, 2.0]), np.array(present))).all()


def test_a_constant_score_has_an_auroc_of_one_half() -> None:
    assert auroc(np.zeros(9), np.arange(9) < 2)[0] == 0.5


@given(st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=4, max_size=40))
def test_increasing_functions_of_the_scores_change_neither_auroc_nor_calls(pairs: list) -> None:
    score = np.array([value for value, _ in pairs], float)
    present = np.array([flag for _, flag in pairs])
    curved = np.exp(score / 5) * 3 - 7
    assert auroc(curved, present) == pytest.approx(auroc(score, present), nan_ok=True)
    assert auroc(-score, present) == pytest.approx(1 - auroc(score, present), nan_ok=True)
    calls, same = score >= upper_left(score, present), curved >= upper_left(curved, present)
    assert (calls == same).all()


def test_figures_are_those_of_a_hand_worked_confusion_matrix() -> None:
    # 3 of 4 found, 1 of 6 called wrongly: F1 of present 6/8, of absent 10/12
    f1, accuracy, precision = figures_by_threshold(3, 1, 4, 6)
    assert f1 == pytest.approx((4 * 6 / 8 + 6 * 10 / 12) / 10)
    assert (accuracy, precision) == (0.8, 0.75)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])  # of the volumes that are called present
def test_figures_are_scikit_learns(share: float) -> None:
    draw = np.random.default_rng(1)
    present, called = draw.random(80) < 0.2, draw.random(80) < share
    found = figures_by_threshold(
        (present & called).sum(), (~present & called).sum(), present.sum(), (~present).sum()
    )
    assert found.tolist() == pytest.approx(
        [
            f1_score(present, called, average="weighted"),
            accuracy_score(present, called),
            precision_score(present, called, zero_division=0),
        ]
    )


def test_the_mean_leaves_out_what_is_not_there() -> None:
    assert with_mean(np.array([[0.2, np.nan, 0.6], [np.nan] * 3]))[:, -1] == pytest.approx(
        [0.4, np.nan], nan_ok=True
    )


def test_the_threshold_is_the_score_at_the_upper_left_point() -> None:
    # from the top: (0, 1/2), (1/3, 1/2), (1/3, 1), (2/3, 1), (1, 1): (1/3, 1) is 1/3 from the corner
    score = np.array([0.9, 0.8, 0.7, 0.4, 0.1])
    assert upper_left(score, np.array([True, False, True, False, False])) == 0.7


def test_of_points_equally_near_the_highest_score_is_taken() -> None:
    # (0, 1/2), (1/2, 1/2), (1/2, 1), (1, 1): the first and third are 1/2 from the corner
    score = np.array([4.0, 3.0, 2.0, 1.0])
    assert upper_left(score, np.array([True, False, True, False])) == 4.0


@pytest.mark.parametrize("values", [4, 100_000])
def test_roc_points_are_scikit_learns(values: int) -> None:
    draw = np.random.default_rng(values)
    score, present = draw.integers(0, values, 50).astype(float), draw.random(50) < 0.4
    expected = roc_curve(present, score, drop_intermediate=False)
    for found, of in zip(roc_points(score, present), expected, strict=True):
        assert found == pytest.approx(of[1:])  # its first point calls nothing present


def test_there_is_no_threshold_without_both_kinds() -> None:
    assert np.isnan(upper_left(np.array([1.0, 2.0]), np.array([True, True])))
    assert np.isnan(upper_left(np.array([1.0, 2.0]), np.array([False, False])))


@pytest.mark.parametrize(
    ("patients", "share", "expected"), [(100, 0.1, 10), (2, 0.1, 1), (3, 0.99, 2), (1304, 0.1, 130)]
)
def test_a_share_of_the_patients_is_drawn_but_never_all_or_none(
    patients: int, share: float, expected: int
) -> None:
    assert drawn_patients(patients, share, seed=0).sum() == expected


def test_another_seed_draws_other_patients_and_the_same_one_the_same() -> None:
    one, two, three = (drawn_patients(200, 0.1, seed) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != three).any()
