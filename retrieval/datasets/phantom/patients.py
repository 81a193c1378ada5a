"""Phantom patients: one chest each, and what changes in it between the scans, all from a seed."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from encoders.abnormalities import ABNORMALITIES
from retrieval.cases import Sex
from retrieval.datasets.phantom.anatomy import Anatomy, draw_anatomy
from retrieval.datasets.phantom.body import Positioning
from retrieval.datasets.phantom.findings import Disposition, Finding
from retrieval.datasets.phantom.placement import place
from retrieval.datasets.phantom.scan import PhantomScan, Reconstruction

_SCANS_A_PATIENT = ((1, 0.70), (2, 0.22), (3, 0.08))
_SCANNERS = (
    ("Siemens Healthineers", "SOMATOM go.Top", "Br40f", "Bl57f"),
    ("Philips", "iCT 256", "B", "YA"),
    ("GE MEDICAL SYSTEMS", "Revolution EVO", "STANDARD", "LUNG"),
)
_CHANGING = frozenset(  # in size, between the scans of a patient
    (
        "Pericardial effusion",
        "Lymphadenopathy",
        "Atelectasis",
        "Lung nodule",
        "Lung opacity",
        "Pleural effusion",
        "Consolidation",
    )
)


def _rng(seed: int, patient: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient, *key)))


def patient_facts(seed: int, patient: int) -> tuple[Sex, float, str, str]:
    """Sex, age at the first scan, and the scanner's maker and model."""
    rng = _rng(seed, patient, 0)
    sex: Sex = "F" if rng.random() < 0.43 else "M"
    maker, model, _, _ = _SCANNERS[int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
    return sex, Disposition.draw(_rng(seed, patient, 1)).age_years, maker, model


@lru_cache(maxsize=64)
def patient_scans(seed: int, patient: int) -> tuple[PhantomScan, ...]:
    """All scans of one patient: the same chest, with what changes between them."""
    sex, age, maker, _ = patient_facts(seed, patient)
    rng = _rng(seed, patient, 2)
    count = int(rng.choice([n for n, _ in _SCANS_A_PATIENT], p=[p for _, p in _SCANS_A_PATIENT]))
    disposition = Disposition.draw(_rng(seed, patient, 1))
    healthy, incidentals = _with_incidentals(draw_anatomy(rng, sex, age), rng, age)
    days = np.concatenate([[0], np.cumsum(rng.integers(30, 500, count - 1))])
    return tuple(
        _scan(
            seed,
            patient,
            number,
            disposition=disposition,
            healthy=healthy,
            incidentals=incidentals,
            day=int(days[number]),
            maker=maker,
        )
        for number in range(count)
    )


def _scan(
    seed: int,
    patient: int,
    number: int,
    *,
    disposition: Disposition,
    healthy: Anatomy,
    incidentals: tuple[str, ...],
    day: int,
    maker: str,
) -> PhantomScan:
    present = disposition.present_on(Disposition.draw(_rng(seed, patient, 3, number)))
    rng = _rng(seed, patient, 4, number)
    anatomy = healthy
    if present["Cardiomegaly"]:
        enlarged = place("Cardiomegaly", healthy, _rng(seed, patient, 5, ABNORMALITIES.index("Cardiomegaly")))
        anatomy = replace(healthy, heart_ratio=enlarged.size_mm / 100)
    findings: dict[str, Finding] = {}
    for index, name in enumerate(ABNORMALITIES):
        growth = float(np.exp(rng.normal(0, 0.28)))
        if present[name]:
            steady = number == 0 or name not in _CHANGING
            findings[name] = place(name, anatomy, _rng(seed, patient, 5, index), 1.0 if steady else growth)
    return PhantomScan(
        anatomy=anatomy,
        positioning=_positioning(rng),
        findings=findings,
        incidentals=incidentals,
        reconstructions=_reconstructions(rng, maker),
        day=day,
        text_seed=int(rng.integers(2**31)),
    )


def _positioning(rng: np.random.Generator) -> Positioning:
    shift = rng.normal(0, [3, 3, 3]).clip(-8, 8)
    return Positioning(
        table_gap_mm=float(rng.uniform(0, 14)),
        table_curve_mm=float(rng.choice([0.0, 18.0, 40.0])),
        shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
    )


def _reconstructions(rng: np.random.Generator, maker: str) -> tuple[Reconstruction, ...]:
    """A soft-tissue and a lung kernel, in nearly every scan both."""
    soft, lung = next((soft, lung) for name, _, soft, lung in _SCANNERS if name == maker)
    noise = float(rng.uniform(6, 16))
    pixel = round(float(rng.uniform(0.62, 0.86)), 3)
    made = (
        Reconstruction(
            number=1, kernel=lung, sharp=True, slice_mm=float(rng.choice([1.0, 1.25, 1.5])), pixel_mm=pixel,
            noise_hu=2.0 * noise, seed=int(rng.integers(2**31)),
        ),
        Reconstruction(
            number=2, kernel=soft, sharp=False, slice_mm=float(rng.choice([2.0, 3.0, 5.0])), pixel_mm=pixel,
            noise_hu=noise, seed=int(rng.integers(2**31)),
        ),
    )  # fmt: skip
    return made if rng.random() < 0.94 else made[:1]


def _with_incidentals(
    anatomy: Anatomy, rng: np.random.Generator, age: float
) -> tuple[Anatomy, tuple[str, ...]]:
    """What radiologists also report, beside the 18: each changes the anatomy."""
    chance = rng.random(5)
    found: list[str] = []
    if chance[0] < 0.20:
        anatomy = replace(anatomy, liver_hu=float(rng.uniform(5, 32)))
        found.append("hepatic steatosis")
    if chance[1] < 0.04 + 0.08 * (age > 60):
        anatomy = replace(anatomy, ascending_aorta=float(rng.uniform(41, 49)))
        found.append("ascending aortic dilatation")
    if chance[2] < 0.07:
        anatomy = replace(anatomy, pulmonary_trunk=float(rng.uniform(31, 38)))
        found.append("pulmonary trunk dilatation")
    if chance[3] < 0.08:
        anatomy = replace(anatomy, scoliosis=float(rng.choice([-1, 1]) * rng.uniform(12, 24)))
        found.append("scoliosis")
    if chance[4] < 0.05:
        anatomy = replace(anatomy, dome=anatomy.dome + 32, dome_drop=anatomy.dome_drop + 30)
        found.append("elevated right hemidiaphragm")
    return anatomy, tuple(found)
