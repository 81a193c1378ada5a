"""An archive of any size: the real label rows of CT-RATE where they are at hand, everything else drawn."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from retrieval.cases import Acquisition, Case, Report, Volume

LATENT_DIM = 512
REAL_LABELS = Path(__file__).resolve().parents[3] / "shared" / "ct_rate" / "train_labels.csv"

MANUFACTURERS = ("Philips", "Siemens Healthineers", "PNMS", "SIEMENS")
_MANUFACTURER_SHARE = (0.61, 0.32, 0.05, 0.02)  # as in CT-RATE's validation metadata, so is the women's
_SHARE_OF_WOMEN = 0.42
_PREVALENCE = (
    *(0.123, 0.284, 0.113, 0.072, 0.255, 0.143, 0.259, 0.193, 0.260),
    *(0.453, 0.369, 0.267, 0.121, 0.077, 0.105, 0.176, 0.100, 0.079),
)  # of the 18 findings among CT-RATE's 47,149 training volumes, for where its table is missing
_SYNTHETIC_STUDIES = 24_128

# A latent is what its findings say, what makes the study its own, and what the reconstruction changes. The
# study's part lies in few directions, as real latents do: noise in all 512 would put every case of one label
# pattern equally far from every other, which no index can search and no archive looks like.
_LABEL_WEIGHT = 0.6
_STUDY_DIRECTIONS = 32
_RECONSTRUCTION_NOISE = 0.2  # of the study's own part
_FLAT_NOISE = 0.05  # in every direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Volumes in the order of their studies; volumes of one study follow each other."""

    labels_from: str
    study: tuple[str, ...]  # (S,)
    patient: tuple[str, ...]  # (S,)
    present_SC: NDArray[np.bool_]
    woman_S: NDArray[np.bool_]
    age_S: NDArray[np.int64]
    manufacturer_S: NDArray[np.int64]  # position in MANUFACTURERS
    study_of_N: NDArray[np.int64]
    volume: tuple[str, ...]  # (N,)
    latent_NL: NDArray[np.float32]
    report: tuple[Report, ...] = ()  # (S,), or none at all

    def __len__(self) -> int:
        return len(self.volume)

    def cases(self) -> Iterator[tuple[Case, slice]]:
        """Yield each study with its rows of `latent_NL`."""
        starts = np.searchsorted(self.study_of_N, np.arange(len(self.study) + 1))
        for study, name in enumerate(self.study):
            rows = slice(int(starts[study]), int(starts[study + 1]))
            made = Acquisition(
                sex="F" if self.woman_S[study] else "M",
                age_years=float(self.age_S[study]),
                manufacturer=MANUFACTURERS[self.manufacturer_S[study]],
            )
            yield (
                Case(
                    dataset="ct-rate",
                    patient=self.patient[study],
                    study=name,
                    split="train",
                    volumes=tuple(Volume(name=volume, acquisition=made) for volume in self.volume[rows]),
                    reports=self.report[study : study + 1],
                    labels=dict(zip(ABNORMALITIES, self.present_SC[study].tolist(), strict=True)),
                ),
                rows,
            )


def make_archive(rows: int, *, seed: int, study_directions: int = _STUDY_DIRECTIONS) -> Archive:
    """Draw an archive of so many volumes; the label table is repeated until it is long enough.

    Args:
        rows: N.
        seed: of everything that is drawn.
        study_directions: in how many dimensions studies of the same findings differ.
    """
    rng = np.random.default_rng(seed)
    table, labels_from = _label_table(rng)
    names, patients, volumes, present, sizes = [], [], [], [], []
    total = copy = 0
    while total < rows:
        prefix = f"copy{copy}_" if copy else ""
        for scan, (stored, labels_C) in table.items():
            count = min(stored, rows - total)
            if not count:
                break
            names.append(prefix + scan)
            patients.append(prefix + scan.rpartition("_")[0])
            volumes += [f"{prefix}{scan}_{number}" for number in range(1, count + 1)]
            present.append(labels_C)
            sizes.append(count)
            total += count
        copy += 1
    present_SC = np.array(present)
    study_of_N = np.repeat(np.arange(len(names)), sizes)
    return Archive(
        labels_from=labels_from,
        study=tuple(names),
        patient=tuple(patients),
        present_SC=present_SC,
        woman_S=rng.random(len(names)) < _SHARE_OF_WOMEN,
        age_S=np.clip(rng.normal(48, 17, len(names)).round(), 18, 90).astype(np.int64),
        manufacturer_S=rng.choice(len(MANUFACTURERS), len(names), p=_MANUFACTURER_SHARE),
        study_of_N=study_of_N,
        volume=tuple(volumes),
        latent_NL=_latents(rng, present_SC, study_of_N, study_directions),
    )


def _latents(
    rng: np.random.Generator,
    present_SC: NDArray[np.bool_],
    study_of_N: NDArray[np.int64],
    study_directions: int,
) -> NDArray[np.float32]:
    finding_CL = rng.standard_normal((len(ABNORMALITIES), LATENT_DIM), np.float32)
    direction_DL = rng.standard_normal((study_directions, LATENT_DIM), np.float32)
    # So that the study's part of a latent is as long in few directions as in all.
    direction_DL *= np.sqrt(LATENT_DIM / study_directions) / np.linalg.norm(direction_DL, axis=1)[:, None]
    study_SL = _LABEL_WEIGHT * present_SC.astype(np.float32) @ finding_CL
    study_SL += rng.standard_normal((len(present_SC), study_directions), np.float32) @ direction_DL
    latent_NL = study_SL[study_of_N].astype(np.float32)
    own_ND = rng.standard_normal((len(study_of_N), study_directions), np.float32)
    latent_NL += _RECONSTRUCTION_NOISE * own_ND @ direction_DL
    latent_NL += _FLAT_NOISE * rng.standard_normal(latent_NL.shape, np.float32)
    latent_NL /= np.linalg.norm(latent_NL, axis=1)[:, None]
    return latent_NL


def _label_table(rng: np.random.Generator) -> tuple[dict[str, tuple[int, list[bool]]], str]:
    """Return scans with how many volumes they have and which findings, and where that is from."""
    if not REAL_LABELS.exists():
        drawn_SC = rng.random((_SYNTHETIC_STUDIES, len(ABNORMALITIES))) < _PREVALENCE
        table = {f"train_{n}_a": (1 + (n % 25 != 0), row.tolist()) for n, row in enumerate(drawn_SC)}
        return table, "drawn independently, each finding as often as among CT-RATE's training volumes"
    table = {}
    with REAL_LABELS.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            scan = row["VolumeName"].removesuffix(".nii.gz").rpartition("_")[0]
            count = table[scan][0] if scan in table else 0
            table[scan] = (count + 1, [row[name] == "1" for name in ABNORMALITIES])
    return table, "CT-RATE's 47,149 training label rows"
