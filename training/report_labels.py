"""`ctsearch train report-labels`: a table of annotated reports becomes an extractor's directory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from encoders.errors import ConfigError, DatasetError
from encoders.label_card import LabelCard, refuse_other_content, write_label_model
from encoders.sentence_labels import READING, SentenceLabels
from retrieval.report_table import read_annotated_reports
from training.label_runs import LabelRun, TransformerLabelRun
from training.label_scores import LabelScores, cross_validate
from training.sentence_labels import fit_sentence_labels, require_scikit_learn

Labels = npt.NDArray[np.bool_]  # (N, 18)
_FEWEST = 20  # reports: fewer teach nothing


def with_base(run: LabelRun, init: Path | None) -> LabelRun:
    """The run on a local encoder.

    Raises:
        ConfigError: the run has none, or it is no directory.
    """
    if init is None:
        return run
    if not isinstance(run, TransformerLabelRun):
        raise ConfigError("found --init, and this run trains no encoder; leave it out or take --run radbert")
    if not init.is_dir():
        raise ConfigError(f"found --init {init}, which is no directory; give one that holds a text encoder")
    return replace(run, base=str(init))


def train_report_labels(
    run: LabelRun,
    table: Path,
    out: Path,
    *,
    device: str = "cpu",
    told: Callable[[int], None] | None = None,
) -> LabelCard:
    """Fit an extractor to annotated reports and write it.

    Args:
        run: of `training.label_runs`.
        table: a CSV with the report and the 18 labels of each row.
        out: the extractor's directory; it appears whole or not at all.
        device: where a transformer is trained.
        told: is told how far it is: abnormalities, or epochs.

    Raises:
        DatasetError: the table is no such table, or has too few rows.
        ConfigError: a library is missing, or there is no such device.
        CheckpointError: `out` holds something else, or the base cannot be opened.
        StorageError: the disk is full or may not be written to.
    """
    refuse_other_content(out)
    reports, labels_NC = _read(table)
    source = f"fitted to {len(reports)} annotated reports ({len(set(reports))} different) of {table.name}"
    if isinstance(run, TransformerLabelRun):
        from training.transformer_labels import fit_transformer_labels

        extractor = fit_transformer_labels(
            reports, labels_NC, run, device=device, is_local=Path(run.base).is_dir(), told=told
        )
        return write_label_model(
            out,
            kind="transformer",
            source=f"{run.base}, {source}",
            settings={"max_tokens": run.max_tokens},
            write_files=extractor.save,
        )
    model = fit_sentence_labels(reports, labels_NC, run, told=told)
    return write_label_model(out, kind="sentences", source=source, settings=READING, write_files=model.save)


def validate_report_labels(run: LabelRun, table: Path, *, folds: int, seed: int) -> LabelScores:
    """Score the extractor of a run by cross-validation.

    Raises:
        DatasetError: the table is no such table, or has too few rows.
        ConfigError: the run is a transformer's, or scikit-learn is missing.
    """
    if isinstance(run, TransformerLabelRun):
        raise ConfigError(
            "found --folds, and this run fine-tunes an encoder: keep some reports apart instead"
        )
    require_scikit_learn()

    def fit(reports: Sequence[str], labels_NC: Labels) -> Callable[[Sequence[str]], Labels]:
        return SentenceLabels(fit_sentence_labels(reports, labels_NC, run), "fold").label_reports

    return cross_validate(*_read(table), fit, folds=folds, seed=seed)


def _read(table: Path) -> tuple[tuple[str, ...], Labels]:
    reports, labels_NC = read_annotated_reports(table)
    if len(reports) < _FEWEST:
        raise DatasetError(f"{table} has {len(reports)} reports; to train, annotate {_FEWEST} at least")
    return reports, labels_NC
