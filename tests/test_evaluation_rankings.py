"""Rankings in blocks against the plainest possible ones, ties and rounding included."""

import numpy as np
import pytest

from retrieval.evaluation import ranking
from retrieval.evaluation.evaluate import EvaluationOptions, evaluate
from retrieval.evaluation.pool import Pool, ReportLatents
from retrieval.metrics import label_overlap_at_k, recall_at_k


def pool_of(
    seed: int, volumes: int = 60, *, studies: int = 25, findings: float = 0.25, copies: int = 0, dim: int = 6
) -> Pool:
    """Random latents on a coarse lattice, so that many tie; `copies` volumes repeat others' exactly."""
    draw = np.random.default_rng(seed)
    study = np.sort(draw.integers(0, studies, volumes))
    volume = draw.integers(-2, 3, (volumes, dim)).astype(np.float32)
    volume[:, 0] += 5  # nowhere zero
    volume[draw.permutation(volumes)[:copies]] = volume[0]
    report = draw.integers(-2, 3, (studies, dim)).astype(np.float32)[study]
    report[:, 1] += 5
    there = draw.random(volumes) < 0.8
    order = draw.permutation(volumes)  # names are in another order than rows
    return Pool(
        source="random",
        name_N=np.array([f"valid_{study[n]}_a_{number:03}" for n, number in enumerate(order)]),
        study_N=np.array([f"study {s:02}" for s in study]),
        patient_N=np.array([f"patient {s // 2:02}" for s in study]),
        volume_NL=volume,
        reports={"both": ReportLatents(latent_NL=report, there_N=there)},
        present_NC=draw.random((volumes, 18)) < findings / 3,
        known_NC=np.ones((volumes, 18), bool),
        age_N=np.full(volumes, np.nan),
    )


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """In float64, of rows made unit length in float32 as latents are stored."""
    unit = [
        (rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)).astype(np.float32).astype(float)
        for rows in (left, right)
    ]
    products: np.ndarray = np.round(unit[0] @ unit[1].T, 12)
    return products


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few queries, so that a small pool has many."""
    monkeypatch.setattr(ranking, "_MOST_QUERIES", 7)


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_are_those_of_a_plain_sort_by_similarity_then_name(seed: int) -> None:
    pool = pool_of(seed, copies=12 * (seed % 3))
    evaluation = evaluate(pool, EvaluationOptions(resamples=10))
    similarity = cosines(pool.volume_NL, pool.volume_NL)
    for query in range(len(pool.name_N)):
        left = [
            n
            for n in range(len(pool.name_N))
            if pool.present_NC[n].any() and pool.study_N[n] != pool.study_N[query]
        ]
        expected = sorted(left, key=lambda n: (-similarity[query, n], pool.name_N[n]))[:50]
        found = evaluation.volumes.neighbours.place_QK[query]
        assert found[found >= 0].tolist() == expected


@pytest.mark.parametrize("seed", range(6))
def test_recall_is_that_of_plain_counting_with_ties_against_the_retriever(seed: int) -> None:
    pool = pool_of(seed, copies=12 * (seed % 3))
    evaluation = evaluate(pool, EvaluationOptions(resamples=10))
    reports = pool.reports["both"]
    asking = np.flatnonzero(reports.there_N)
    similarity = cosines(reports.latent_NL[asking], pool.volume_NL)
    own = similarity[np.arange(len(asking)), asking][:, None]
    before = (similarity >= own).sum(axis=1) - 1
    for k in (5, 10, 50):
        assert evaluation.figures["report_to_volume", "recall", str(k)] == pytest.approx((before < k).mean())
        by_study = recall_at_k(similarity, pool.study_N[asking], pool.study_N, k)
        assert evaluation.figures["report_to_volume", "recall_by_study", str(k)] == pytest.approx(by_study)


@pytest.mark.parametrize("seed", range(3))
def test_label_overlap_agrees_with_the_one_over_a_whole_similarity_matrix(seed: int) -> None:
    pool = pool_of(seed, volumes=90, studies=60, dim=40)
    evaluation = evaluate(pool, EvaluationOptions(resamples=10))
    similarity = cosines(pool.volume_NL, pool.volume_NL)
    for k in (1, 5, 10, 50):
        expected = label_overlap_at_k(similarity, pool.present_NC, pool.study_N, k).mean()
        assert evaluation.figures["volume_to_volume", "label_overlap", str(k)] == pytest.approx(expected)


def plain_script(pool: Pool) -> tuple[dict[str, float], dict[str, float]]:
    """The published scripts, as their code reads: stable sorts in the order of the rows."""
    similarity = cosines(pool.volume_NL, pool.volume_NL)
    gallery = [n for n in range(len(pool.name_N)) if pool.present_NC[n].any()]
    overlaps: list[float] = []  # never emptied
    cumulative = {}
    for k in (1, 5, 10, 50):
        for query in range(len(pool.name_N)):
            nearest = sorted(gallery, key=lambda n: similarity[query, n], reverse=True)[:k]
            both = (pool.present_NC[query] & pool.present_NC[nearest]).sum(axis=1)
            either = (pool.present_NC[query] | pool.present_NC[nearest]).sum(axis=1)
            overlaps.append(float(np.mean(both / either)))
        cumulative[str(k)] = float(np.mean(overlaps))
    reports = pool.reports["both"]
    asking = np.flatnonzero(reports.there_N)
    products = (
        reports.latent_NL[asking].astype(float) @ pool.volume_NL.astype(float).T
    )  # not made unit length
    recall = {}
    for k in (5, 10, 50, 100):
        hits = [
            own in sorted(range(products.shape[1]), key=lambda n: row[n], reverse=True)[:k]
            for own, row in zip(asking, products, strict=True)
        ]
        recall[str(k)] = float(np.mean(hits))
    return cumulative, recall


@pytest.mark.parametrize("seed", range(6))
def test_the_scripts_figures_are_those_of_its_code_ties_and_lengths_included(seed: int) -> None:
    pool = pool_of(seed, volumes=120, studies=70, copies=20 * (seed % 3), findings=0.4)
    document = evaluate(pool, EvaluationOptions(resamples=10)).to_json()
    cumulative, recall = plain_script(pool)
    assert document["volume_to_volume"]["script_cumulative"] == pytest.approx(cumulative)
    assert document["report_to_volume"]["script_recall"] == pytest.approx(recall)
