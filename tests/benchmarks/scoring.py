"""How long a pool takes to be evaluated."""

import time
from dataclasses import dataclass

import numpy as np

from retrieval.evaluation.evaluate import EvaluationOptions, evaluate
from retrieval.evaluation.pool import Pool, ReportLatents
from retrieval.evaluation.report_to_volume import rank_reports, report_values
from retrieval.evaluation.volume_to_volume import rank_volumes, volume_values
from tests.benchmarks.archive import Archive

_BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTime:
    """Seconds for the figures (MAP@K, label overlap, Recall@K), and for all that the command prints."""

    rows: int
    figures_s: float
    whole_s: float  # with floors, the script's figures and 1,000 resamples
    product_s: float  # the two matrix products of the figures alone


def evaluation_time(archive: Archive, rows: int, *, seed: int) -> EvaluationTime:
    """Evaluate the first volumes of an archive, their studies' reports lying near them."""
    pool = _pool(archive, rows, seed)
    latent_NL = pool.volume_NL
    start = time.perf_counter()
    volumes = rank_volumes(pool)
    volume_values(volumes)
    report_values(rank_reports(pool, pool.reports["both"]))
    figures = time.perf_counter()
    evaluate(pool, EvaluationOptions())
    whole = time.perf_counter()
    score_BN = np.empty((_BLOCK, rows), np.float32)
    for first in range(0, rows, _BLOCK):
        for asking_NL in (latent_NL, pool.reports["both"].latent_NL):
            asking_BL = asking_NL[first : first + _BLOCK]
            np.matmul(asking_BL, latent_NL.T, out=score_BN[: len(asking_BL)])
    return EvaluationTime(
        rows=rows,
        figures_s=figures - start,
        whole_s=whole - figures,
        product_s=time.perf_counter() - whole,
    )


def _pool(archive: Archive, rows: int, seed: int) -> Pool:
    rng = np.random.default_rng(seed)
    study_of_N = archive.study_of_N[:rows]
    said_SL = rng.standard_normal((study_of_N[-1] + 1, archive.latent_NL.shape[1]), np.float32)
    report_NL = archive.latent_NL[:rows] + said_SL[study_of_N] / np.sqrt(archive.latent_NL.shape[1])
    first_N = np.r_[0, np.flatnonzero(np.diff(study_of_N)) + 1]
    report_NL = report_NL[first_N][study_of_N]  # one report a study
    report_NL /= np.linalg.norm(report_NL, axis=1)[:, None]
    return Pool(
        source=f"{rows} volumes",
        name_N=np.array(archive.volume[:rows]),
        study_N=np.array(archive.study)[study_of_N],
        patient_N=np.array(archive.patient)[study_of_N],
        volume_NL=archive.latent_NL[:rows],
        reports={"both": ReportLatents(latent_NL=report_NL, there_N=np.ones(rows, np.bool_))},
        present_NC=archive.present_SC[study_of_N],
        known_NC=np.ones_like(archive.present_SC[study_of_N]),
        age_N=archive.age_S[study_of_N].astype(np.float64),
    )
