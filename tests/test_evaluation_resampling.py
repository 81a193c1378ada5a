"""Intervals by patient and paired permutations: properties, and cases small enough to enumerate."""

import numpy as np
import pytest

from retrieval.evaluation.resampling import bootstrap_intervals, permutation_p


def test_an_interval_holds_its_figure_and_narrows_with_more_patients() -> None:
    draw = np.random.default_rng(0)
    widths = []
    for patients in (40, 4000):
        patient = np.repeat(np.arange(patients), 2)
        values = np.repeat(draw.random(patients), 2)[:, None]
        low, high = bootstrap_intervals(values, patient, 500, seed=1)[0]
        assert low < values.mean() < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.3)  # as the root of the number of patients


def test_copies_of_a_patients_volume_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).random(50)
    once = bootstrap_intervals(values[:, None], np.arange(50), 400, seed=3)
    often = bootstrap_intervals(np.repeat(values, 8)[:, None], np.repeat(np.arange(50), 8), 400, seed=3)
    assert often == pytest.approx(once)


def test_one_patient_alone_gives_no_width() -> None:
    low, high = bootstrap_intervals(np.array([[0.2], [0.6]]), np.array([0, 0]), 50, seed=0)[0]
    assert (low, high) == pytest.approx((0.4, 0.4))


def test_rows_that_are_no_queries_count_nowhere() -> None:
    values = np.array([[0.25, np.nan], [np.nan, np.nan], [0.25, np.nan], [np.nan, np.nan]])
    ends = bootstrap_intervals(values, np.array([0, 0, 1, 2]), 200, seed=0)
    assert ends[0] == pytest.approx([0.25, 0.25])  # resamples of patient 2 alone have no query
    assert np.isnan(ends[1]).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random((30, 3))
    one, two, three = (bootstrap_intervals(values, np.arange(30), 100, seed=s) for s in (5, 5, 6))
    assert (one == two).all()
    assert (one != three).any()


def test_identical_systems_differ_by_nothing_with_p_1() -> None:
    assert permutation_p(np.zeros((20, 2)), np.arange(20), 999, seed=0).tolist() == [1.0, 1.0]


def test_p_is_the_share_of_sign_flips_that_go_as_far() -> None:
    # three patients, differences 1, 2 and 4: of the 8 sign patterns only +++ and --- reach |7|
    p = permutation_p(np.array([[1.0], [2.0], [4.0]]), np.arange(3), 40_000, seed=0)
    assert p[0] == pytest.approx(2 / 8, abs=0.01)


def test_a_patients_queries_are_swapped_together() -> None:
    # the same differences, all of one patient: both sign patterns go as far
    assert permutation_p(np.array([[1.0], [2.0], [4.0]]), np.zeros(3, int), 999, seed=0).tolist() == [1.0]


def test_p_is_uniform_where_nothing_differs() -> None:
    draw = np.random.default_rng(0)
    p = permutation_p(draw.standard_normal((60, 400)), np.arange(60), 500, seed=1)
    for level in (0.1, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.08)


def test_p_is_never_zero() -> None:
    p = permutation_p(np.full((40, 1), 1.0), np.arange(40), 99, seed=0)
    assert p[0] == pytest.approx(1 / 100)
