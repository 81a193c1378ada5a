"""Floors: expectations against every possible ranking, and against CT-RATE's real label rows."""

from itertools import permutations

import numpy as np
import pytest

from retrieval.evaluation import floors, measures
from retrieval.evaluation.label_table import with_labels
from retrieval.evaluation.patterns import (
    GallerySums,
    pattern_iou,
    patterns,
    sums_over_gallery,
    sums_over_own_study,
)
from retrieval.evaluation.pool import Pool, ReportLatents, coded
from retrieval.evaluation.volume_to_volume import rank_volumes, volume_floors
from tests.shared import shared_file

IOU = [1.0, 0.5, 0.0, 0.25]  # of the query with each volume of its gallery


def sums(iou: list[float]) -> GallerySums:
    """Of one query's gallery."""
    values = np.array(iou)
    return GallerySums(
        volumes=np.array([len(iou)]),
        relevant=np.array([(values > 0).sum()]),
        iou=np.array([values.sum()]),
        iou_squared=np.array([np.square(values).sum()]),
    )


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6])
def test_random_floors_are_the_mean_over_every_order_of_the_gallery(k: int) -> None:
    orders = np.array(list(permutations(IOU)))
    orders = np.pad(orders, ((0, 0), (0, 2)))  # ranks 5 and 6 hold nothing
    found, relevant = np.full(len(orders), 4), np.full(len(orders), 3)
    column = k - 1
    assert floors.random_overlap(sums(IOU))[0] == pytest.approx(
        measures.label_overlap(orders, found)[:, column].mean()
    )
    assert floors.random_paper_iou(sums(IOU), k)[0] == pytest.approx(
        measures.paper_iou(orders)[:, column].mean()
    )
    by_hand = measures.binary(orders > 0, relevant)[:, column].mean()
    assert floors.random_binary(sums(IOU), k)[0] == pytest.approx(by_hand)
    assert floors.random_binary_trec(sums(IOU), k)[0] == pytest.approx(by_hand * min(3, k) / 3)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6])
def test_siblings_first_is_the_mean_over_every_order_that_begins_with_query_and_siblings(k: int) -> None:
    siblings, others = [0.75, 0.5], [1.0, 0.25, 0.0]  # of the query; labels within a scan may differ
    orders = np.array([[1.0, *s, *o] for s in permutations(siblings) for o in permutations(others)])
    everything, own = sums([1.0, *siblings, *others]), sums([1.0, *siblings])
    found = floors.siblings_first_overlap(everything, own, np.array([1.0]), k)[0]
    assert found == pytest.approx(orders[:, :k].mean())


def test_a_query_without_neighbours_has_floors_of_zero() -> None:
    nothing = sums([])
    assert floors.random_overlap(nothing)[0] == 0
    assert floors.random_paper_iou(nothing, 5)[0] == 0
    assert floors.random_binary(nothing, 5)[0] == 0


def test_sums_by_pattern_are_those_over_every_pair() -> None:
    draw = np.random.default_rng(0)
    label_N = patterns(draw.random((80, 18)) < 0.1)
    study_N = draw.integers(0, 30, 80)
    gallery = np.flatnonzero(label_N)
    iou = pattern_iou(label_N[:, None], label_N[gallery][None, :])
    own = study_N[:, None] == study_N[gallery][None, :]
    everything = sums_over_gallery(label_N, label_N[gallery])
    of_own = sums_over_own_study(label_N, label_N[gallery], study_N, study_N[gallery])
    found = everything.without(of_own)
    assert everything.iou == pytest.approx(iou.sum(axis=1))
    assert found.volumes.tolist() == (~own).sum(axis=1).tolist()
    assert found.relevant.tolist() == ((iou > 0) & ~own).sum(axis=1).tolist()
    assert found.iou == pytest.approx((iou * ~own).sum(axis=1))
    assert found.iou_squared == pytest.approx((iou**2 * ~own).sum(axis=1))


def real_pool() -> Pool:
    """CT-RATE's validation volumes with their labels, and random latents."""
    path = shared_file("ct_rate/validation_labels.csv")
    names = [line.split(",")[0] for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    plain = [name.removesuffix(".nii.gz") for name in names]
    latents = np.random.default_rng(0).standard_normal((len(names), 8)).astype(np.float32)
    pool = Pool(
        source="validation",
        name_N=np.array(plain),
        study_N=np.array([name.rsplit("_", 1)[0] for name in plain]),
        patient_N=np.array([name.rsplit("_", 2)[0] for name in plain]),
        volume_NL=latents,
        reports={"both": ReportLatents(latent_NL=latents, there_N=np.ones(len(names), bool))},
        present_NC=np.zeros((len(names), 18), bool),
        known_NC=np.ones((len(names), 18), bool),
        age_N=np.full(len(names), np.nan),
    )
    return with_labels(pool, path)


def test_floors_on_the_real_validation_labels_are_the_known_ones() -> None:
    pool = real_pool()
    assert (len(pool.name_N), len(np.unique(coded(pool.study_N)))) == (3039, 1564)
    figures = volume_floors(rank_volumes(pool))
    for k in ("1", "5", "10", "50"):
        assert figures["floor", "random", "label_overlap", k] == pytest.approx(0.151, abs=0.001)
    expected = {"1": 0.886, "5": 0.668, "10": 0.545, "50": 0.454}
    for k, value in expected.items():
        # the published figures were drawn at random once; these are expectations
        assert figures["floor", "siblings_first", "script_cumulative", k] == pytest.approx(value, abs=0.0015)
        assert (
            figures["floor", "siblings_first", k]
            == figures["floor", "siblings_first", "script_cumulative", k]
        )
