"""What `--out` writes: the document, tables, who chose the thresholds, pictures."""

import json
from pathlib import Path

from retrieval.atomic_file import written_atomically
from retrieval.evaluation.detection.document import detection_document
from retrieval.evaluation.detection.evaluate import Detection, DetectionComparison
from retrieval.evaluation.detection.plots import draw_confusion_matrices, draw_roc_curves
from retrieval.evaluation.detection.table import (
    comparison_table,
    findings_table,
    prompts_table,
    write_csv,
    write_table,
)
from retrieval.evaluation.output import FEWEST_POINTS
from retrieval.evaluation.plots import draw_findings
from retrieval.evaluation.pool import unit_rows
from retrieval.evaluation.ranking import Progress
from retrieval.evaluation.tsne import lay_out, sampled


def write_detection(
    result: Detection | DetectionComparison, folder: Path, progress: Progress | None = None
) -> list[str]:
    """Write everything of an evaluation to a folder, made where it is missing; return the names of the files.

    With a comparison, tables of findings and prompts, confusion matrices and the plane are of what is
    evaluated; the ROC curves show both. The plane is drawn where latents are known.

    Raises:
        ConfigError: matplotlib or scikit-learn is not installed.
        StorageError: the folder cannot be written to.
    """
    detections = [result] if isinstance(result, Detection) else [result.first, result.other]
    document = detection_document(result)
    folder.mkdir(parents=True, exist_ok=True)
    with written_atomically(folder / "detection.json") as stream:
        stream.write(json.dumps(document, indent=2).encode())
    written = ["detection.json", *write_table(findings_table(document), folder, "findings")]
    if document["prompts"]:
        written += write_table(prompts_table(document), folder, "prompts")
    if "comparison" in document:
        written += write_table(comparison_table(document), folder, "comparison")
    written += write_csv(_volumes(detections[0]), folder, "volumes")
    draw_roc_curves(detections, folder / "roc_curves.png")
    draw_confusion_matrices(detections[0], folder / "confusion_matrices.png")
    written += ["roc_curves.png", "confusion_matrices.png"]
    return [*written, *_plane(detections[0], folder, progress)]


def _volumes(detection: Detection) -> list[dict[str, str]]:
    """Say of each volume whether it chose thresholds or was scored."""
    pool = detection.scored.pool
    rows = zip(pool.name_N, pool.study_N, pool.patient_N, detection.sample.tuned_N, strict=True)
    return [
        {
            "VolumeName": str(name),
            "Study": str(study),
            "Patient": str(patient),
            "Part": "thresholds" if tuned else "scored",
        }
        for name, study, patient, tuned in rows
    ]


def _plane(detection: Detection, folder: Path, progress: Progress | None) -> list[str]:
    pool = detection.scored.pool
    rows = sampled(len(pool.name_N), detection.options.seed)
    if not pool.volume_NL.shape[1] or len(rows) < FEWEST_POINTS:
        return []
    if progress is not None:
        progress.update(done=0, total=len(rows), failed=0, step="t-SNE")
    places = lay_out(unit_rows(pool.volume_NL[rows]), detection.options.seed)
    draw_findings(pool, rows, places, folder / "tsne_findings.png")
    return ["tsne_findings.png"]
