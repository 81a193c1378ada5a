"""Report to volume: whether a report finds the volume, or the study, that it is the report of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.figures import REPORT_KS, FigurePath
from retrieval.evaluation.floors import random_recall
from retrieval.evaluation.pool import Latents, Pool, ReportLatents, coded, unit_rows
from retrieval.evaluation.ranking import Progress, Ranks, rank_own

Values = NDArray[np.float64]
_UNIT_WITHIN = 1e-5  # as float32 keeps the length of a unit vector


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRankings:
    """Where each report's own volume and study stand.

    Attributes:
        asking: rows of the pool that have a report: the queries.
        ranks: of them, by cosine.
        script_ranks: of them, by inner product of what is stored.
        pool: volumes and studies among which they stand.
    """

    asking: NDArray[np.intp]
    ranks: Ranks
    script_ranks: Ranks
    volumes: int
    studies: int


def rank_reports(
    pool: Pool, reports: ReportLatents, progress: Progress | None = None, step: str = "report to volume"
) -> ReportRankings:
    """Rank all volumes of a pool, those without a report too, for each of its reports."""
    asking = np.flatnonzero(reports.there_N)
    study_N = coded(pool.study_N)
    asked, volume_NL = reports.latent_NL[asking], pool.volume_NL
    ranks = rank_own(unit_rows(asked), asking, unit_rows(volume_NL), study_N, step=step, progress=progress)
    as_stored = (
        ranks
        if _is_unit(asked) and _is_unit(volume_NL)
        else rank_own(asked, asking, volume_NL, study_N, step=f"{step}, as stored", progress=progress)
    )
    return ReportRankings(
        asking=asking,
        ranks=ranks,
        script_ranks=as_stored,
        volumes=len(volume_NL),
        studies=int(study_N.max()) + 1,
    )


def _is_unit(latent_NL: Latents) -> bool:
    lengths = np.linalg.norm(latent_NL, axis=1)
    return bool(np.all(np.abs(lengths - 1) <= _UNIT_WITHIN))


def report_values(rankings: ReportRankings, ks: Sequence[int] = REPORT_KS) -> dict[FigurePath, Values]:
    """Return each volume's recall@K, NaN where it has no report.

    recall@K = 1 where fewer than K other volumes are at least as near to the report as its own one.
    recall_by_study@K = 1 where fewer than K other studies are at least as near as its own, a study being as
    near as its nearest volume. Ties count against the retriever.
    """
    before = {
        "recall": rankings.ranks.nearer + rankings.ranks.tied,
        "recall_by_study": rankings.ranks.studies_before,
    }
    return {(name, str(k)): _spread(rankings, of < k) for name, of in before.items() for k in ks}


def _spread(rankings: ReportRankings, hit: NDArray[np.bool_]) -> Values:
    values = np.full(rankings.volumes, np.nan)
    values[rankings.asking] = hit
    return values


def script_recall(rankings: ReportRankings) -> dict[FigurePath, float | None]:
    """Return what the published script prints: inner products as stored, ties in the source's order.

    Source:
        CT-CLIP, scripts/report_to_volume_new.py.
    """
    before = rankings.script_ranks.nearer + rankings.script_ranks.tied_before
    return {(str(k),): float((before < k).mean()) if len(before) else None for k in REPORT_KS}


def report_floors(rankings: ReportRankings, ks: Sequence[int] = REPORT_KS) -> dict[FigurePath, float]:
    """Return what a random ranking gives: K over the number of volumes, or of studies."""
    queries = len(rankings.asking)
    of_volumes = random_recall(queries, rankings.volumes, ks)
    of_studies = random_recall(queries, rankings.studies, ks)
    figures: dict[FigurePath, float] = {("floor", "random", str(k)): of_volumes[k] for k in ks}
    named = {"recall": of_volumes, "recall_by_study": of_studies, "script_recall": of_volumes}
    for name, of in named.items():
        figures |= {("floor", "random", name, str(k)): of[k] for k in ks}
    return figures
