"""Phantoms that an encoder has not seen, encoded, with what is known of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS
from encoders.encoder import Encoder
from encoders.errors import ConfigError
from encoders.reports import ReportSections
from retrieval.cases import VolumeFile
from retrieval.datasets.phantom import TRAINING_SEEDS, find_scan, phantom_cohort
from retrieval.datasets.phantom.scan import PhantomScan, Reconstruction
from training.volume_cache import VolumeCache

Values = NDArray[np.floating]
_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What is known of S scans and their V volumes, and what of it a retriever could cheat with.

    Attributes:
        files: of the volumes.
        reports: of the scans.
        study_V: the number of the scan that each volume belongs to.
        patient_S: the number of the patient of each scan, from 0 without gaps.
        labels_SC: of the scans.
        nuisance_VF: body size, noise, kernel and table, each column of unit spread.
    """

    files: tuple[VolumeFile, ...]
    reports: tuple[ReportSections, ...]
    study_V: NDArray[np.int64]
    patient_S: NDArray[np.int64]
    labels_SC: NDArray[np.bool_]
    nuisance_VF: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A cohort as an encoder sees it.

    Attributes:
        volume_VL, report_SL: unit latents.
        score_VC: of each finding, zero-shot.
        named_VC: how near a volume is to the name of each finding alone.
    """

    volume_VL: Values
    report_SL: Values
    score_VC: NDArray[np.float64]
    named_VC: NDArray[np.float64]


def phantoms_unseen(scans: int, seed: int) -> Cohort:
    """Make up a cohort that no training draws from.

    Raises:
        ConfigError: the cohort is one that encoders are trained on.
    """
    if seed in TRAINING_SEEDS:
        raise ConfigError(
            f"encoders are trained on phantoms of seed {seed}; choose one below {TRAINING_SEEDS.start}"
        )
    cases = list(phantom_cohort(scans, seed))
    files = [(number, v.file) for number, case in enumerate(cases) for v in case.volumes if v.file]
    patients = {name: number for number, name in enumerate(dict.fromkeys(case.patient for case in cases))}
    return Cohort(
        files=tuple(file for _, file in files),
        reports=tuple(
            ReportSections(findings=r.findings, impression=r.impression) for c in cases for r in c.reports
        ),
        study_V=np.array([number for number, _ in files]),
        patient_S=np.array([patients[case.patient] for case in cases]),
        labels_SC=np.array([[case.labels[name] for name in ABNORMALITIES] for case in cases]),
        nuisance_VF=_nuisance([file.uri for _, file in files]),
    )


def encode_cohort(encoder: Encoder, cohort: Cohort, cache: Path | None) -> Encoded:
    """Encode all volumes and reports of a cohort.

    Args:
        encoder: of volumes and texts.
        cohort: see above.
        cache: folder where drawn volumes are kept; None keeps none.
    """
    volumes = VolumeCache(folder=cache, grid=encoder.grid)
    latents = [
        _encode_volumes(encoder, volumes, cohort.files[i : i + _AT_ONCE])
        for i in range(0, len(cohort.files), _AT_ONCE)
    ]
    volume_VL = np.concatenate(latents)
    return Encoded(
        volume_VL=volume_VL,
        report_SL=encoder.encode_reports(list(cohort.reports)).numpy(),
        score_VC=_zero_shot(encoder, volume_VL),
        named_VC=_nearness(encoder, volume_VL, [f"{name}." for name in ABNORMALITIES]),
    )


def _encode_volumes(encoder: Encoder, volumes: VolumeCache, files: Sequence[VolumeFile]) -> Values:
    drawn = np.stack([volumes.read(file) for file in files])
    latents: Values = encoder.encode_volumes(torch.from_numpy(drawn[:, None])).numpy()
    return latents


def _zero_shot(encoder: Encoder, volume_VL: Values) -> NDArray[np.float64]:
    pair = PROMPTS[DEFAULT_PROMPT]
    present, absent = (
        _nearness(encoder, volume_VL, [template.format(name) for name in ABNORMALITIES])
        for template in (pair.present, pair.absent)
    )
    return present - absent  # the probability rises with it


def _nearness(encoder: Encoder, volume_VL: Values, texts: Sequence[str]) -> NDArray[np.float64]:
    return np.asarray(volume_VL @ encoder.encode_reports(list(texts)).numpy().T, np.float64)


def _nuisance(uris: list[str]) -> Values:
    rows = np.array([_seen_of(*_scan_and_reconstruction(uri)) for uri in uris])
    spread = rows.std(0)
    columns: Values = (rows - rows.mean(0))[:, spread > 0] / spread[spread > 0]
    return columns


def _scan_and_reconstruction(uri: str) -> tuple[PhantomScan, Reconstruction]:
    named, reconstruction = find_scan(uri)
    return named.scan, reconstruction


def _seen_of(scan: PhantomScan, reconstruction: Reconstruction) -> list[float]:
    anatomy, lying = scan.anatomy, scan.positioning
    return [
        anatomy.height,
        anatomy.half_width,
        anatomy.half_depth,
        anatomy.fat,
        anatomy.muscle,
        float(anatomy.sex == "F"),
        lying.table_gap_mm,
        lying.table_curve_mm,
        *lying.shift_mm,
        reconstruction.noise_hu,
        reconstruction.slice_mm,
    ]
