"""Phantom patients with their scans and reconstructions, each named and drawn from a seed alone."""

import re
from collections.abc import Iterator

import numpy as np

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from retrieval.cases import Acquisition, Case, Report, Volume, VolumeFile
from retrieval.datasets.phantom.canvas import Floats, Point
from retrieval.datasets.phantom.patients import patient_facts, patient_scans
from retrieval.datasets.phantom.report import write_report
from retrieval.datasets.phantom.scan import HashedScan, Reconstruction

GENERATOR_VERSION = 1
"""Goes up whenever the same uri comes to mean other voxels, words or labels."""

SHOWN_MM = (4.0, 2.0, 2.0)
"""Spacing along (slices, rows, columns) of what people look at: finer than the encoder sees, so that they
recognise what is drawn."""

TRAINING_SEEDS = range(1_000_000, 2_000_000)
"""Cohorts that encoders are trained on; `parse_source` refuses them, so no archive holds one."""

DEFAULT_SEED = 7


def parse_source(source: str) -> tuple[int, int]:
    """Read the source of a phantom cohort.

    Args:
        source: "N" or "N:SEED".

    Returns:
        Number of scans and seed (7 when none is given).

    Raises:
        DatasetError: it is not of that form, or the seed is one that encoders are trained on.
    """
    count, _, seed = source.partition(":")
    if not re.fullmatch(r"[1-9][0-9]*(:[0-9]+)?", source):
        raise DatasetError(
            f'found "{source}" as a phantom cohort; give the number of scans, or N:SEED as in 200:7'
        )
    number = int(seed) if seed else DEFAULT_SEED
    if number in TRAINING_SEEDS:
        raise DatasetError(
            f"seed {number} is among the phantoms that encoders are trained on; "
            f"choose one below {TRAINING_SEEDS.start}"
        )
    return int(count), number


def phantom_cohort(scans: int, seed: int) -> Iterator[Case]:
    """Yield the cases of a cohort; a larger cohort of the same seed begins with the same cases.

    Args:
        scans: number of cases (studies).
        seed: names the cohort.
    """
    made = 0
    patient = 0
    while made < scans:
        patient += 1
        for scan in range(len(patient_scans(seed, patient))):
            if made == scans:
                return
            yield phantom_case(seed, patient, scan)
            made += 1


def phantom_case(seed: int, patient: int, scan: int) -> Case:
    """One case: the scan number `scan` (from 0) of patient number `patient` (from 1)."""
    drawn = patient_scans(seed, patient)[scan]
    name = f"phantom_{seed}_{patient}"
    study = f"{name}_{_letter(scan)}"
    _, age, maker, model = patient_facts(seed, patient)
    volumes = tuple(
        Volume(
            name=f"{study}_{reconstruction.number}",
            file=VolumeFile(
                kind="phantom", uri=f"phantom:{seed}/{patient}_{_letter(scan)}/{reconstruction.number}"
            ),
            acquisition=Acquisition(
                sex=drawn.anatomy.sex,
                age_years=min(90.0, age + drawn.day // 365),
                manufacturer=maker,
                model=model,
                kernel=reconstruction.kernel,
                slice_mm=reconstruction.slice_mm,
                pixel_mm=reconstruction.pixel_mm,
            ),
        )
        for reconstruction in drawn.reconstructions
    )
    text = write_report(drawn)
    report = Report(
        name=study,
        findings=text.findings,
        impression=text.impression,
        technique="Non-contrast images were taken in the axial plane.",
    )
    return Case(
        dataset="phantom",
        patient=name,
        study=study,
        split="train" if seed in TRAINING_SEEDS else "valid",
        day=drawn.day,
        volumes=volumes,
        reports=(report,),
        labels=drawn.labels,
    )


def phantom_report(seed: int, patient: int) -> str:
    """Findings and impression of a patient's first scan; without voxels, to learn words from."""
    text = write_report(patient_scans(seed, patient)[0])
    return f"{text.findings} {text.impression}"


def draw_volume(
    uri: str, spacing_mm: Point | None = None, shape: tuple[int, int, int] | None = None
) -> tuple[Floats, Point]:
    """Draw the voxels that a phantom's uri names.

    Args:
        uri: `phantom:SEED/PATIENT_LETTER/RECONSTRUCTION`, as `VolumeFile.uri` of a phantom.
        spacing_mm: along (slices, rows, columns); default 7.5 × 3.75 × 3.75 mm.
        shape: voxels along the same, about the middle of the scan; default: the whole scan.

    Returns:
        Hounsfield units, float32 (D, H, W), increasing towards Superior, Left and Posterior; and
        their spacing in mm along the same axes.

    Raises:
        DatasetError: the uri names no phantom.
    """
    scan, reconstruction = find_scan(uri)
    frame = scan.scan.frame(spacing_mm, shape)
    return scan.voxels(frame, reconstruction), frame.spacing_mm


def find_scan(uri: str) -> tuple[HashedScan, Reconstruction]:
    """The scan and the reconstruction that a uri names.

    Raises:
        DatasetError: the uri names no phantom.
    """
    try:
        kind, _, rest = uri.partition(":")
        seed, study, number = rest.split("/")
        patient, letter = study.rsplit("_", 1)
        scan = patient_scans(int(seed), int(patient))["abcdefghijklmnopqrstuvwxyz".index(letter)]
        reconstruction = scan.reconstructions[int(number) - 1]
        if kind != "phantom" or min(int(patient), int(number)) < 1:
            raise ValueError(uri)
    except (ValueError, IndexError) as error:
        raise DatasetError(f'found "{uri}", which names no phantom; phantom:7/12_a/1 would') from error
    return HashedScan(f"{seed}/{study}", scan), reconstruction


def _letter(scan: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[scan]


def describe_cohort(scans: int, seed: int) -> str:
    """A table of what a cohort holds: its size, how often each finding occurs, and what goes together."""
    cases = list(phantom_cohort(scans, seed))
    marks = np.array([[case.labels[name] for name in ABNORMALITIES] for case in cases], dtype=float)
    volumes = sum(len(case.volumes) for case in cases)
    patients = len({case.patient for case in cases})
    lines = [
        f"{scans} phantom scans of {patients} patients, {volumes} volumes (seed {seed}); "
        "synthetic, not clinical",
        f"no finding: {np.mean(marks.sum(1) == 0):.0%}; findings a scan: {marks.sum(1).mean():.1f}",
        "",
        *(f"{name:<38}{share:>5.0%}" for name, share in zip(ABNORMALITIES, marks.mean(0), strict=True)),
        "",
        "together more often than apart (phi coefficient):",
        *_pairs(marks),
    ]
    return "\n".join(lines)


def _pairs(marks: "np.ndarray", most: int = 12) -> list[str]:
    varied = marks.std(0) > 0
    names = [name for name, kept in zip(ABNORMALITIES, varied, strict=True) if kept]
    if len(names) < 2 or len(marks) < 3:
        return []
    phi = np.corrcoef(marks[:, varied].T)
    rows, columns = np.triu_indices(len(names), 1)
    order = np.argsort(-phi[rows, columns])[:most]
    return [f"{phi[rows[i], columns[i]]:+.2f}  {names[rows[i]]} – {names[columns[i]]}" for i in order]
