"""How an encoder finds phantoms that it has not seen, beside one that knows the answers and one that cannot.

The figures say that encoder, training and search work together. They say nothing about patients.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS
from encoders.encoder import Encoder
from encoders.errors import ConfigError
from encoders.reports import ReportSections
from encoders.volumes import grid_from_hounsfield
from retrieval.datasets.phantom import TRAINING_SEEDS, draw_volume, find_scan, phantom_cohort
from retrieval.datasets.phantom.scan import PhantomScan, Reconstruction
from retrieval.metrics import auroc, label_iou, label_overlap_at_k, label_overlap_at_random, recall_at_k

_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomFigures:
    """Scores on one cohort, or their mean over several.

    Attributes:
        recall_10: report to volume, share of reports whose scan is among the ten best scans.
        recall_10_random: the same for a retriever that knows nothing.
        recall_10_labels: for one that knows the true labels of either side and nothing else.
        overlap_10: volume to volume, mean label IoU of the ten nearest, own scan excluded.
        overlap_10_random, overlap_10_labels: as above.
        overlap_10_nuisance: for a retriever that sees body size, noise, kernel and table alone.
        zero_shot_auroc: mean over the findings of which the cohort has both kinds.
    """

    recall_10: float
    recall_10_random: float
    recall_10_labels: float
    overlap_10: float
    overlap_10_random: float
    overlap_10_labels: float
    overlap_10_nuisance: float
    zero_shot_auroc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedCohort:
    """A cohort's latents and what is known of it.

    Attributes:
        volume_latents: (V, L); report_latents: (S, L).
        volume_study, report_study: the number of the scan that each belongs to.
        labels: (S, 18), of the scans.
        nuisance: (V, F), what a retriever could cheat with, each column of unit spread.
        auroc: of each finding, zero-shot, NaN where the cohort has but one kind.
    """

    volume_latents: np.ndarray
    report_latents: np.ndarray
    volume_study: np.ndarray
    report_study: np.ndarray
    labels: np.ndarray
    nuisance: np.ndarray
    auroc: dict[str, float]


def encode_cohort(encoder: Encoder, scans: int, seed: int) -> EncodedCohort:
    """Draw a cohort and encode all its volumes and reports.

    Raises:
        ConfigError: the cohort is one that encoders are trained on.
    """
    if seed in TRAINING_SEEDS:
        raise ConfigError(
            f"encoders are trained on phantoms of seed {seed}; choose one below {TRAINING_SEEDS.start}"
        )
    cases = list(phantom_cohort(scans, seed))
    uris = [(number, v.file.uri) for number, case in enumerate(cases) for v in case.volumes if v.file]
    volume_latents = np.concatenate(
        [
            _encode_volumes(encoder, [uri for _, uri in uris[i : i + _AT_ONCE]])
            for i in range(0, len(uris), _AT_ONCE)
        ]
    )
    reports = [ReportSections(findings=r.findings, impression=r.impression) for c in cases for r in c.reports]
    labels = np.array([[case.labels[name] for name in ABNORMALITIES] for case in cases])
    study = np.array([number for number, _ in uris])
    return EncodedCohort(
        volume_latents=volume_latents,
        report_latents=encoder.encode_reports(reports).numpy(),
        volume_study=study,
        report_study=np.arange(len(cases)),
        labels=labels,
        nuisance=_nuisance([uri for _, uri in uris]),
        auroc=_zero_shot(encoder, volume_latents, labels[study]),
    )


def _encode_volumes(encoder: Encoder, uris: list[str]) -> np.ndarray:
    drawn = [draw_volume(uri) for uri in uris]
    grids = [grid_from_hounsfield(hu, spacing_mm, encoder.grid) for hu, spacing_mm in drawn]
    latents: np.ndarray = encoder.encode_volumes(torch.from_numpy(np.stack(grids)[:, None])).numpy()
    return latents


def _zero_shot(encoder: Encoder, volume_latents: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    pair = PROMPTS[DEFAULT_PROMPT]
    present = encoder.encode_reports([pair.present.format(name) for name in ABNORMALITIES]).numpy()
    absent = encoder.encode_reports([pair.absent.format(name) for name in ABNORMALITIES]).numpy()
    scores = volume_latents @ (present - absent).T  # the probability rises with it
    return {name: auroc(scores[:, i], labels[:, i]) for i, name in enumerate(ABNORMALITIES)}


def _nuisance(uris: list[str]) -> np.ndarray:
    rows = np.array([_seen_of(*_scan_and_reconstruction(uri)) for uri in uris])
    spread = rows.std(0)
    columns: np.ndarray = (rows - rows.mean(0))[:, spread > 0] / spread[spread > 0]
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


def score_cohort(cohort: EncodedCohort) -> PhantomFigures:
    """Score an encoded cohort."""
    labels = cohort.labels[cohort.volume_study]
    untie = np.random.default_rng(0).uniform(
        0, 1e-6, (len(labels), len(labels))
    )  # labels tie, and nuisance may
    apart = cohort.nuisance[:, None, :] - cohort.nuisance[None, :, :]
    known = label_iou(cohort.labels, labels) + untie[: len(cohort.labels)]
    volumes = cohort.volume_latents
    retrievers = {
        "encoder": volumes @ volumes.T,
        "labels": label_iou(labels, labels) + untie,
        "nuisance": -np.square(apart).sum(2) + untie,
    }
    overlap = {
        name: label_overlap_at_k(scores, labels, cohort.volume_study, 10)
        for name, scores in retrievers.items()
    }
    return PhantomFigures(
        recall_10=recall_at_k(
            cohort.report_latents @ volumes.T, cohort.report_study, cohort.volume_study, 10
        ),
        recall_10_random=min(1.0, 10 / len(cohort.labels)),
        recall_10_labels=recall_at_k(known, cohort.report_study, cohort.volume_study, 10),
        overlap_10=overlap["encoder"],
        overlap_10_random=label_overlap_at_random(labels, cohort.volume_study),
        overlap_10_labels=overlap["labels"],
        overlap_10_nuisance=overlap["nuisance"],
        zero_shot_auroc=float(np.nanmean(list(cohort.auroc.values()))),
    )


def mean_figures(figures: list[PhantomFigures]) -> PhantomFigures:
    """The mean over cohorts."""
    return PhantomFigures(
        **{f.name: float(np.mean([getattr(one, f.name) for one in figures])) for f in fields(PhantomFigures)}
    )
