"""Volumes with a score for each of the 18 findings, from a file or from a collection's latents."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS
from encoders.encoder import Encoder
from encoders.errors import DatasetError, InputError
from encoders.zero_shot import encode_prompts
from retrieval.evaluation.detection.measures import Values
from retrieval.evaluation.named_rows import Arrays, named_rows, read_arrays, require_arrays
from retrieval.evaluation.pool import Pool, first_names, shared_pools, unit_rows
from retrieval.evaluation.ranking import Progress
from retrieval.scores_file import scores_of_latents

_DECIMALS = 9  # of log odds: equal latents may differ in the last bit, by where a matrix product cut its rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPool:
    """A pool and its scores.

    Attributes:
        pool: whose volumes they are; its latents are empty where scores are all there is.
        score_NC: finite; higher means more likely present.
        prompts: the scores by each prompt pair, by its name in PROMPTS; empty where scores came as such.
    """

    pool: Pool
    score_NC: Values
    prompts: Mapping[str, Values] = field(default_factory=dict)

    def at(self, names: list[str], pool: Pool) -> "ScoredPool":
        """Return the scores of these volumes, as those of another pool."""
        rows = np.array([self.pool.by_name[name] for name in names], np.intp)
        prompts = {name: score_NC[rows] for name, score_NC in self.prompts.items()}
        return replace(self, pool=pool, score_NC=self.score_NC[rows], prompts=prompts)


def read_scores_file(path: Path) -> ScoredPool:
    """Read an .npz as a pool whose labels are all unknown.

    `name` (N,) and `score` (N, 18), in the order of ABNORMALITIES. Optionally `study`, `patient` and
    `dataset` (N,), else names as CT-RATE's tell study and patient and a name as RAD-ChestCT's is both.

    Raises:
        DatasetError: it cannot be read, lacks an array, or an array is not of its shape and kind.
        InputError: a name stands twice, no patient can be told, or a score is not finite.
    """
    source, arrays = path.name, read_arrays(path)
    require_arrays(source, arrays, ("name", "score"))
    score_NC = _scores(source, arrays)
    count, findings = score_NC.shape
    named = named_rows(source, arrays, count)
    without = [str(name) for name in named.name_N[~np.isfinite(score_NC).all(axis=1)]]
    if without:
        raise InputError(
            f"{source}: the scores of {len(without)} volumes are not finite ({first_names(without)}): "
            "score them again or take their rows out"
        )
    unknown = np.zeros((count, findings), bool)
    pool = Pool(
        source=source,
        name_N=named.name_N,
        study_N=named.study_N,
        patient_N=named.patient_N,
        datasets=named.datasets,
        volume_NL=np.zeros((count, 0), np.float32),
        reports={},
        present_NC=unknown,
        known_NC=unknown,
        age_N=np.full(count, np.nan),
    )
    return ScoredPool(pool=pool, score_NC=score_NC)


def zero_shot_pool(
    pool: Pool, encoder: Encoder, *, every_prompt: bool = True, progress: Progress | None = None
) -> ScoredPool:
    """Score a pool by what its latents say to prompts; no volume is encoded.

    Args:
        pool: with latents of the encoder's space.
        encoder: the one that made them.
        every_prompt: score by all seven prompt pairs; else by the published default alone.
        progress: told after each pair.

    Raises:
        ReportError: the encoder has no tokeniser.
        ConfigError: it is a volume encoder alone.
    """
    unit_NL = unit_rows(pool.volume_NL).astype(np.float64)
    prompts: dict[str, Values] = {}
    wanted = list(PROMPTS) if every_prompt else [DEFAULT_PROMPT]
    for done, name in enumerate(wanted, start=1):
        directions_FL = encode_prompts(encoder, pair=PROMPTS[name]).directions.astype(np.float64)
        log_odds_NC = np.round(unit_NL @ directions_FL.T, _DECIMALS)
        prompts[name] = 1 / (1 + np.exp(-log_odds_NC))  # the softmax over a pair
        if progress is not None:
            progress.update(done=done, total=len(wanted), failed=0, step="prompts")
    return ScoredPool(pool=pool, score_NC=prompts[DEFAULT_PROMPT], prompts=prompts if every_prompt else {})


def head_pool(pool: Pool, encoder: Encoder) -> ScoredPool:
    """Score a pool by the head of the model that made its latents (ClassFine, CT-Net); no volume is encoded.

    Args:
        pool: with latents of the encoder's space.
        encoder: the one that made them, with a head.
    """
    return ScoredPool(pool=pool, score_NC=scores_of_latents(pool.volume_NL, encoder).astype(np.float64))


def shared_scores(first: ScoredPool, other: ScoredPool) -> tuple[ScoredPool, ScoredPool]:
    """Return both cut to the volumes they share, judged by the first one's labels and patients.

    Raises:
        InputError: they share no volume.
    """
    kept, same = shared_pools(first.pool, other.pool)
    names = [str(name) for name in kept.name_N]
    return first.at(names, kept), other.at(names, same)


def _scores(source: str, arrays: Arrays) -> Values:
    stored, wanted = arrays["score"], len(ABNORMALITIES)
    if stored.ndim != 2 or stored.shape[1] != wanted or stored.dtype.kind not in "fiu":
        raise DatasetError(
            f"{source}: score is {stored.dtype} of shape {stored.shape}: scores are numbers of shape "
            f"(N, {wanted}), a column for each finding in the order of CT-RATE's tables"
        )
    if not len(stored):
        raise DatasetError(f"{source} holds no volume: give scores of the volumes to be evaluated")
    return stored.astype(np.float64)
