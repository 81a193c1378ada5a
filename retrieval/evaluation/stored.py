"""A collection as a pool: exact latents from Postgres, and what the archive knows of their studies."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import Select, select
from sqlalchemy.engine import Connection

from encoders.encoder import Encoder
from encoders.errors import InputError
from encoders.reports import ReportSections
from retrieval.evaluation.latents_file import read_latents_file
from retrieval.evaluation.named_rows import volume_name
from retrieval.evaluation.pool import Pool, ReportLatents, Section, first_names, label_arrays
from retrieval.evaluation.ranking import Progress
from retrieval.filters import LabelSource, label_columns
from retrieval.label_bits import labels_of
from retrieval.records import CollectionInfo
from retrieval.schema import Label, Report, Study, Volume, embedding
from retrieval.store_collections import export_collection

_AT_ONCE = 64


def collection_pool(connection: Connection, info: CollectionInfo) -> Pool:
    """Return a collection's volumes as a pool whose labels are all unknown: what `collections export` writes.

    Raises:
        SearchError: it has no latent of a volume.
    """
    with tempfile.TemporaryDirectory(prefix="ctsearch-evaluate-") as folder:
        exported = Path(folder) / "latents.npz"
        export_collection(connection, info.name, exported)
        return replace(read_latents_file(exported), source=f"collection {info.name}")


def with_stored_labels(
    connection: Connection,
    info: CollectionInfo,
    pool: Pool,
    *,
    label_source: LabelSource | None = None,
    leave_out: bool = False,
) -> Pool:
    """Return a collection's pool with the labels and ages that the archive has.

    Args:
        connection: to the archive.
        info: the collection.
        pool: of it, without labels.
        label_source: believe this source alone; None takes the first that speaks.
        leave_out: leave out volumes of studies without any label, instead of refusing the collection.

    Raises:
        InputError: studies have no label.
    """
    known = _labels(connection, info, label_source)
    labelled = np.array([str(study) in known for study in pool.study_N])
    warnings = pool.warnings
    if not labelled.all():
        without = sorted({str(study) for study in pool.study_N[~labelled]})
        if not leave_out or not labelled.any():
            raise InputError(
                f"{len(without)} of {len(np.unique(pool.study_N))} studies of the {pool.source} have no "
                f"label ({first_names(without)}): index them with --labels, or leave them out with "
                "--skip-unlabelled"
            )
        warnings = (*warnings, f"{len(without)} studies without a label were left out")
        pool = pool.at(np.flatnonzero(labelled))
    rows = [known[str(study)] for study in pool.study_N]
    present_NC, known_NC = label_arrays(rows)
    ages = _ages(connection, info)
    return replace(
        pool,
        present_NC=present_NC,
        known_NC=known_NC,
        age_N=np.array([ages.get(str(name), np.nan) for name in pool.name_N]),
        left_out=0,
        warnings=warnings,
    )


def with_section(
    connection: Connection,
    info: CollectionInfo,
    pool: Pool,
    section: Section,
    encoder: Encoder,
    progress: Progress | None = None,
) -> Pool:
    """Return a pool with latents of one section of its reports, encoded now; a report without it has none.

    Args:
        connection: to the archive.
        info: the collection.
        pool: of it.
        section: findings or impression.
        encoder: the one that made the collection.
        progress: told after each batch.

    Raises:
        ReportError: the encoder cannot read text.
    """
    texts = {study: text for study, text in _sections(connection, info, section).items() if text.text}
    studies = [study for study in dict.fromkeys(pool.study_N.tolist()) if study in texts]
    latents: dict[str, np.ndarray] = {}
    for start in range(0, len(studies), _AT_ONCE):
        batch = studies[start : start + _AT_ONCE]
        encoded = encoder.encode_reports([texts[study] for study in batch]).numpy()
        latents |= dict(zip(batch, encoded, strict=True))
        if progress is not None:
            progress.update(done=start + len(batch), total=len(studies), failed=0, step=f"encoding {section}")
    there_N = np.array([study in latents for study in pool.study_N.tolist()])
    latent_NL = np.zeros((len(there_N), info.latent_dim), np.float32)
    if there_N.any():
        latent_NL[there_N] = [latents[study] for study in pool.study_N[there_N].tolist()]
    reports = {**pool.reports, section: ReportLatents(latent_NL=latent_NL, there_N=there_N)}
    return replace(pool, reports=reports)


def _labels(
    connection: Connection, info: CollectionInfo, label_source: LabelSource | None
) -> dict[str, dict[str, bool]]:
    known_bits, present_bits = label_columns(label_source)
    rows = (
        select(Study.dataset, Study.name, known_bits, present_bits)
        .join(Label, Label.study_id == Study.id)
        .where(Study.id.in_(_studies(info)), known_bits != 0)
    )
    labels: dict[str, dict[str, bool]] = {}
    for dataset, study, known, present in connection.execute(rows):
        for name in _either_name(dataset, study):
            labels.setdefault(name, {}).update(labels_of(known, present))
    return labels


def _ages(connection: Connection, info: CollectionInfo) -> dict[str, float]:
    rows = select(Volume.dataset, Volume.name, Volume.age_years).where(Volume.study_id.in_(_studies(info)))
    return {
        name: np.nan if age is None else age
        for dataset, volume, age in connection.execute(rows)
        for name in _either_name(dataset, volume_name(volume))
    }


def _sections(connection: Connection, info: CollectionInfo, section: Section) -> dict[str, ReportSections]:
    """Return the section of the report of each study whose latent an export takes: the first by name."""
    text = Report.findings if section == "findings" else Report.impression
    rows = (
        select(Study.dataset, Study.name, text)
        .join(Report, Report.study_id == Study.id)
        .join(embedding, embedding.c.report_id == Report.id)
        .where(embedding.c.collection_id == info.id)
        .order_by(Report.source_key)
    )
    sections: dict[str, ReportSections] = {}
    for dataset, study, said in connection.execute(rows):
        for name in _either_name(dataset, study):
            sections.setdefault(name, ReportSections(**{section: said}))
    return sections


def _studies(info: CollectionInfo) -> Select[tuple[int]]:
    return select(embedding.c.study_id).where(
        embedding.c.collection_id == info.id, embedding.c.volume_id.is_not(None)
    )


def _either_name(dataset: str, name: str) -> tuple[str, str]:
    """Return what a pool may call a study or volume: of several data sets, theirs stands before it."""
    return name, f"{dataset}/{name}"
