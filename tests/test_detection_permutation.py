"""The paired test: what a permutation gives without a sort is what swapping and sorting anew gives."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import f1_score, roc_auc_score

from encoders.abnormalities import ABNORMALITIES
from retrieval.evaluation.detection.permutation import (
    mid_ranks,
    permutation_p_values,
    swapped_shares,
)
from retrieval.evaluation.detection.sample import Sample
from retrieval.evaluation.detection.scoring import judge

PATIENT = np.array([0, 0, 1, 2, 2, 3, 4, 4, 5, 6])
PRESENT = np.array([1, 1, 0, 0, 1, 0, 0, 1, 0, 1], bool)
EVERY_SIGN = list(product((1, -1), repeat=7))


def two_models() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    return draw.integers(0, 6, 10) + 2.0 * PRESENT, draw.integers(0, 6, 10) * 100.0  # ties, another scale


def swapped(one: np.ndarray, two: np.ndarray, signs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    kept = np.array(signs)[PATIENT] > 0
    return np.where(kept, one, two), np.where(kept, two, one)


def test_mid_ranks_are_scipys() -> None:
    score = np.random.default_rng(0).integers(0, 9, 40).astype(float)
    assert mid_ranks(score).tolist() == rankdata(score).tolist()


def test_shares_with_their_signs_turned_add_up_to_the_difference_of_swapped_ranks() -> None:
    one, two = two_models()
    share = swapped_shares(one, two, PRESENT, np.ones(10, bool))
    for signs in EVERY_SIGN:
        ours, theirs = swapped(rankdata(one), rankdata(two), signs)
        expected = roc_auc_score(PRESENT, ours) - roc_auc_score(PRESENT, theirs)
        assert share @ np.array(signs)[PATIENT] == pytest.approx(expected, abs=1e-12)


def test_volumes_of_unknown_label_have_no_share() -> None:
    one, two = two_models()
    known = np.arange(10) != 4
    share = swapped_shares(one, two, PRESENT, known)
    assert share[4] == 0
    assert share.sum() == pytest.approx(
        roc_auc_score(PRESENT[known], one[known]) - roc_auc_score(PRESENT[known], two[known])
    )


def sample() -> Sample:
    """Seven patients that are scored, and one that chooses the threshold, scoring 5 and 0."""
    return Sample(
        finding_set="ct-rate",
        findings=ABNORMALITIES[:1],
        columns=((0,),),
        present_NF=np.r_[PRESENT, True, False][:, None],
        known_NF=np.ones((12, 1), bool),
        patient_N=np.r_[PATIENT, 7, 7],
        tuned_N=np.arange(12) >= 10,
        left_out={},
    )


def test_p_is_the_share_of_all_swaps_that_differ_as_much() -> None:
    one, two = two_models()
    models = [judge(sample(), np.r_[score, 5.0, 0.0][:, None], resamples=10, seed=0) for score in (one, two)]
    p = permutation_p_values(sample(), *models, permutations=40_000, seed=0)
    by_auroc, by_f1 = [], []
    for signs in EVERY_SIGN:
        ours, theirs = swapped(rankdata(one), rankdata(two), signs)
        by_auroc.append(abs(roc_auc_score(PRESENT, ours) - roc_auc_score(PRESENT, theirs)))
        calls = swapped(one >= 5, two >= 5, signs)
        by_f1.append(abs(np.subtract(*(f1_score(PRESENT, called, average="weighted") for called in calls))))
    for found, differences in ((p[0, 0], by_auroc), (p[1, 0], by_f1)):
        as_far = np.array(differences) >= differences[0] - 1e-12
        assert found == pytest.approx(as_far.mean(), abs=0.01)
    assert p[:, 0].tolist() == p[:, 1].tolist()  # the mean over one finding


def test_a_model_against_itself_has_p_1() -> None:
    one = np.r_[two_models()[0], 5.0, 0.0][:, None]
    model = judge(sample(), one, resamples=10, seed=0)
    assert (permutation_p_values(sample(), model, model, permutations=99, seed=0) == 1).all()


def test_p_is_uniform_where_two_models_are_equally_good() -> None:
    draw = np.random.default_rng(0)
    present = draw.random(60) < 0.4
    p = []
    for _ in range(200):
        one, two = draw.standard_normal((2, 60)) + present
        share = swapped_shares(one, two, present, np.ones(60, bool))
        signs = draw.choice([-1, 1], (300, 60))
        p.append((np.abs(signs @ share) >= abs(share.sum())).mean())
    for level in (0.1, 0.5):
        assert (np.array(p) <= level).mean() == pytest.approx(level, abs=0.1)
