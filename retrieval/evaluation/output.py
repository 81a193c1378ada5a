"""What `--out` writes: the document, runs and qrels, pictures."""

import json
from pathlib import Path

import numpy as np

from retrieval.atomic_file import written_atomically
from retrieval.evaluation.curves import panels
from retrieval.evaluation.evaluate import Comparison, Evaluation
from retrieval.evaluation.plots import (
    draw_ages,
    draw_curves,
    draw_findings,
    draw_number_of_findings,
    require_matplotlib,
)
from retrieval.evaluation.pool import unit_rows
from retrieval.evaluation.ranking import Progress
from retrieval.evaluation.trec_files import write_trec_files
from retrieval.evaluation.tsne import lay_out, require_scikit_learn, sampled

FEWEST_POINTS = 5  # that t-SNE lays out


def require_libraries() -> None:
    """Look for what the pictures need, so that no evaluation is done in vain.

    Raises:
        ConfigError: matplotlib or scikit-learn is not installed.
    """
    require_matplotlib()
    require_scikit_learn()


def write_output(
    result: Evaluation | Comparison, folder: Path, progress: Progress | None = None
) -> list[str]:
    """Write everything of an evaluation to a folder, made where it is missing; return the names of the files.

    With a comparison, runs, qrels and the plane are of what is evaluated; the curves show both.

    Raises:
        ConfigError: matplotlib or scikit-learn is not installed.
        StorageError: the folder cannot be written to.
    """
    evaluations = [result.first, result.other] if isinstance(result, Comparison) else [result]
    folder.mkdir(parents=True, exist_ok=True)
    with written_atomically(folder / "retrieval.json") as stream:
        stream.write(json.dumps(result.to_json(), indent=2).encode())
    written = ["retrieval.json", *write_trec_files(evaluations[0], folder, progress)]
    pool = evaluations[0].pool
    title = f"{len(pool.name_N):,} volumes; bands are 95 % bootstrap intervals by patient"
    draw_curves(panels(evaluations), title, folder / "k_curves.png")
    return [*written, "k_curves.png", *_planes(evaluations[0], folder, progress)]


def _planes(evaluation: Evaluation, folder: Path, progress: Progress | None) -> list[str]:
    pool = evaluation.pool
    rows = sampled(len(pool.name_N), evaluation.options.seed)
    if len(rows) < FEWEST_POINTS:
        return []
    if progress is not None:
        progress.update(done=0, total=len(rows), failed=0, step="t-SNE")
    places = lay_out(unit_rows(pool.volume_NL[rows]), evaluation.options.seed)
    draw_findings(pool, rows, places, folder / "tsne_findings.png")
    draw_number_of_findings(pool, rows, places, folder / "tsne_number_of_findings.png")
    drawn = ["tsne_findings.png", "tsne_number_of_findings.png"]
    if np.isnan(pool.age_N[rows]).all():
        return drawn
    draw_ages(pool, rows, places, folder / "tsne_age.png")
    return [*drawn, "tsne_age.png"]
