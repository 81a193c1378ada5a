"""Scores of a collection's volumes for the 18 findings: the file of `evaluate detection --scores`."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import DEFAULT_PROMPT
from encoders.zero_shot import encode_prompts, probabilities, prompt_pair
from retrieval.atomic_file import written_atomically

if TYPE_CHECKING:
    from encoders.encoder import Encoder
    from retrieval.evaluation.pool import Pool


def scores_of_latents(
    latent_NL: NDArray[np.float32], encoder: "Encoder", prompt: str | None = None
) -> NDArray[np.float32]:
    """Return the probabilities (N, 18) of the findings; no volume is encoded.

    Args:
        latent_NL: unit latents of volumes, by the encoder.
        encoder: whose head scores, if it has one.
        prompt: as for `encoders.zero_shot.prompt_pair`, to score by sentences all the same.

    Raises:
        SearchError: the prompt says not how a finding is affirmed and denied.
        ReportError: the encoder has no head and cannot read text.
    """
    if encoder.has_head and prompt is None:
        scores: NDArray[np.float32] = encoder.score_latents(latent_NL).numpy()
        return scores
    return probabilities(latent_NL, encode_prompts(encoder, pair=prompt_pair(prompt or DEFAULT_PROMPT)))


def write_scores(path: Path, pool: "Pool", encoder: "Encoder", prompt: str | None = None) -> int:
    """Write `name`, `study`, `patient` (N,) and `score` (N, 18), in the order of `ABNORMALITIES`, as npz.

    Args:
        path: to be written, whole or not at all.
        pool: of a collection.
        encoder: that made it.
        prompt: as for `scores_of_latents`.

    Returns:
        N.

    Raises:
        StorageError: the file cannot be written; else as for `scores_of_latents`.
    """
    score_NC = scores_of_latents(pool.volume_NL, encoder, prompt)
    with written_atomically(path) as stream:
        np.savez(stream, name=pool.name_N, study=pool.study_N, patient=pool.patient_N, score=score_NC)
    return len(score_NC)
