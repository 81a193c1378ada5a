"""Fills an archive with cases and latents of one's choosing, through the store."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from sqlalchemy import Engine

from retrieval.cases import Acquisition, Case, Report, Volume
from retrieval.records import CollectionInfo
from retrieval.store import EmbeddingRow, Store


def study(
    name: str,
    *,
    patient: str | None = None,
    volumes: Sequence[str] | None = None,
    acquisition: Acquisition | Mapping[str, Acquisition] = Acquisition(),  # noqa: B008 - it is frozen
    findings: str = "",
    impression: str = "",
    **fields,
) -> Case:
    """A case with the volumes NAME_1 and NAME_2 (or those named), and a report if any of it is given."""
    names = (f"{name}_1", f"{name}_2") if volumes is None else tuple(volumes)
    of = acquisition if isinstance(acquisition, Mapping) else dict.fromkeys(names, acquisition)
    said = Report(name=name, findings=findings, impression=impression)
    return Case(
        dataset=fields.pop("dataset", "ct-rate"),
        patient=patient or f"patient of {name}",
        study=name,
        volumes=tuple(Volume(name=volume, acquisition=of[volume]) for volume in names),
        reports=(said,) if findings or impression else (),
        **fields,
    )


def fill(
    engine: Engine,
    cases: Sequence[Case],
    *,
    volumes: Mapping[str, ArrayLike] | None = None,
    reports: Mapping[str, ArrayLike] | None = None,
    collection: str = "default",
    encoder: str = "tiny",
    encoder_digest: str = "e" * 64,
    preprocessing_digest: str = "p" * 64,
    dim: int = 4,
) -> CollectionInfo:
    """Store cases, and latents by volume name and by study name (of its report), made unit length."""
    store = Store(engine)
    saved = store.save_cases(cases)
    info = store.ensure_collection(
        collection,
        encoder=encoder,
        encoder_digest=encoder_digest,
        preprocessing_digest=preprocessing_digest,
        latent_dim=dim,
    )
    of_volumes, of_reports = volumes or {}, reports or {}
    rows = [
        EmbeddingRow(
            study_id=saved.study_id(case),
            volume_id=saved.volume_id(case, volume),
            content=volume.name.encode(),
            latent=unit(of_volumes[volume.name]),
        )
        for case in cases
        for volume in case.volumes
        if volume.name in of_volumes
    ]
    rows += [
        EmbeddingRow(
            study_id=saved.study_id(case),
            report_id=saved.report_id(case, report),
            content=report.name.encode(),
            latent=unit(of_reports[report.name]),
        )
        for case in cases
        for report in case.reports
        if report.name in of_reports
    ]
    store.save_embeddings(info, rows)
    return info


def unit(vector: ArrayLike) -> np.ndarray:
    """The vector at length 1, float32."""
    values = np.asarray(vector, np.float32)
    return values / np.linalg.norm(values)
