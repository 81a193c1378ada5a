"""The real validation tables as an archive whose brute-force answers are exact, ties included.

Latents are synthetic, in clusters, and multiples of 2**-11: their inner products are sums without rounding,
so scores, ties and the order among ties are the same in NumPy, PostgreSQL and FAISS, halves included.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from encoders.abnormalities import ABNORMALITIES
from retrieval.cases import Acquisition, Case
from retrieval.datasets import Tables, open_source
from retrieval.filters import LABEL_PRECEDENCE, Filters
from tests.datasets import cases_of
from tests.shared import shared_file
from tests.small_archive import study

DIM = 16
CLUSTERS = 24
GRID = 2**11


@dataclass(frozen=True)
class Row:
    """A volume as the tables say; `volume` is None for a study that has none."""

    study: str
    patient: str
    volume: str | None
    split: str | None
    dataset: str
    sex: str | None = None
    age: float | None = None
    manufacturer: str | None = None


@dataclass
class Archive:
    """What was stored, told by the tables and not by the database."""

    rows: list[Row] = field(default_factory=list)
    labels: dict[tuple[str, str], dict[str, bool]] = field(default_factory=dict)  # by study and source
    volumes: dict[str, np.ndarray] = field(default_factory=dict)  # latents by volume
    reports: dict[str, np.ndarray] = field(default_factory=dict)  # latents by study

    def is_labelled(self, study_name: str, finding: str, present: bool, source: str | None) -> bool:
        for each in ("manual", "extractor", "zero_shot") if source is None else (source,):
            known = self.labels.get((study_name, each), {}).get(finding)
            if known is not None:
                return known is present
        return False

    def matching(self, filters: Filters, left_out: set[str]) -> list[Row]:
        """The rows that match, those of `left_out` studies aside."""
        return [row for row in self.rows if row.study not in left_out and self._matches(row, filters)]

    def _matches(self, row: Row, filters: Filters) -> bool:
        age, source = filters.age, filters.label_source
        return (
            all(self.is_labelled(row.study, finding, True, source) for finding in filters.labels)
            and all(self.is_labelled(row.study, finding, False, source) for finding in filters.without_labels)
            and (filters.split is None or (row.split or "").lower() == filters.split.lower())
            and (filters.dataset is None or row.dataset.lower() == filters.dataset.lower())
            and (filters.sex is None or row.sex == filters.sex)
            and (
                filters.manufacturer is None
                or (row.manufacturer or "").lower() == filters.manufacturer.lower()
            )
            and (age is None or (row.age is not None and (age.low or 0) <= row.age <= (age.high or 999)))
        )

    def volumes_ranked(self, rows: Sequence[Row], query: np.ndarray, unit_of_hits: str) -> list[tuple]:
        """(-score, study, volume), best first; studies by their best reconstruction, ties by name."""
        here = [row for row in rows if row.volume in self.volumes]
        scores = np.stack([self.volumes[row.volume] for row in here]) @ query if here else []
        ranked = sorted((-float(s), row.study, row.volume) for s, row in zip(scores, here, strict=True))
        if unit_of_hits == "volume":
            return ranked
        best: dict[str, tuple] = {}
        for hit in ranked:
            best.setdefault(hit[1], hit)
        return sorted(best.values())

    def reports_ranked(self, rows: Sequence[Row], query: np.ndarray) -> list[tuple]:
        """(-score, study) of studies whose report has a latent, best first, ties by name."""
        here = sorted({row.study for row in rows} & self.reports.keys())
        scores = np.stack([self.reports[name] for name in here]) @ query if here else []
        return sorted((-float(score), name) for score, name in zip(scores, here, strict=True))


def on_grid(latent_NL: np.ndarray) -> np.ndarray:
    """Unit length to 1e-3, and every number a multiple of 2**-11."""
    latent_NL = latent_NL / np.linalg.norm(latent_NL, axis=-1, keepdims=True)
    return np.asarray(np.round(latent_NL * GRID) / GRID, np.float32)


def around(rng: np.random.Generator, cluster: int, spread: float) -> np.ndarray:
    centres_CL = np.random.default_rng(0).normal(size=(CLUSTERS, DIM))
    return on_grid(centres_CL[cluster % CLUSTERS] + spread * rng.normal(size=DIM))


def table(name: str) -> dict[str, dict[str, str]]:
    with shared_file(f"ct_rate/{name}").open(newline="", encoding="utf-8") as stream:
        return {row["VolumeName"].removesuffix(".nii.gz"): row for row in csv.DictReader(stream)}


def as_the_tables_say(archive: Archive, rng: np.random.Generator) -> list[Case]:
    """Fill in the rows, and return cases: labels of three sources that disagree, some unknown."""
    labels, metadata = table("validation_labels.csv"), table("validation_metadata.csv")
    volumes = defaultdict(list)
    for name in metadata:
        volumes[name.rpartition("_")[0]].append(name)
    tables = Tables(
        reports=shared_file("ct_rate/validation_reports.csv"),
        labels=shared_file("ct_rate/validation_labels.csv"),
        metadata=shared_file("ct_rate/validation_metadata.csv"),
    )
    folder = shared_file("ct_rate/validation_labels.csv").parent
    cases = []
    for case in cases_of(open_source(str(folder), tables=tables)):
        split = "train" if rng.random() < 0.3 else "valid"
        for name in volumes[case.study]:
            row = metadata[name]
            age = float(row["PatientAge"].rstrip("Y")) if row["PatientAge"] else None
            patient = case.study.rpartition("_")[0]
            archive.rows.append(
                Row(
                    case.study,
                    patient,
                    name,
                    split,
                    "ct-rate",
                    row["PatientSex"] or None,
                    age,
                    row["Manufacturer"] or None,
                )
            )
        told = {finding: labels[volumes[case.study][0]][finding] == "1" for finding in ABNORMALITIES}
        said = {
            "manual": {name: known for name, known in told.items() if rng.random() < 0.8},
            "extractor": {name: known ^ (rng.random() < 0.2) for name, known in told.items()},
            "zero_shot": {name: bool(rng.integers(2)) for name in told if rng.random() < 0.3},
        }
        for source, share in zip(LABEL_PRECEDENCE, (0.8, 0.6, 0.6), strict=True):
            known = said[source] if rng.random() < share else {}
            archive.labels[case.study, source] = known
            cases.append(replace(case, split=split, labels=known, label_source=source))
    return cases


def elsewhere(archive: Archive) -> list[Case]:
    """Studies of another dataset: one says nothing of its scanner, one has no volume at all."""
    made = [
        study("valid_1_a", dataset="folder", patient="valid_1", volumes=("x_1", "x_2"), findings="A nodule."),
        study("words only", dataset="folder", volumes=(), findings="Emphysema.", labels={"Emphysema": True}),
        study("bare", dataset="folder", volumes=("bare_1",), acquisition=Acquisition(age_years=63.5)),
    ]
    made[0] = replace(made[0], study="other_a", reports=(replace(made[0].reports[0], name="other_a"),))
    archive.labels["words only", "manual"] = {"Emphysema": True}
    archive.rows += [
        Row("other_a", "valid_1", "x_1", None, "folder"),
        Row("other_a", "valid_1", "x_2", None, "folder"),
        Row("words only", "patient of words only", None, None, "folder"),
        Row("bare", "patient of bare", "bare_1", None, "folder", age=63.5),
    ]
    return made


def give_latents(archive: Archive, rng: np.random.Generator) -> None:
    """To most; one in ten is the latent of another volume, number for number."""
    for row in archive.rows:
        cluster = sum(map(ord, row.study))
        if row.volume is not None and rng.random() < 0.92:
            archive.volumes[row.volume] = around(rng, cluster, 0.5)
        if row.study not in archive.reports and rng.random() < 0.7:
            archive.reports[row.study] = around(rng, cluster + 1, 0.8)
    del archive.reports["bare"]  # it has no report
    for latents in (archive.volumes, archive.reports):
        names = sorted(latents)
        for name in rng.choice(names, len(names) // 10, replace=False):
            latents[str(name)] = latents[str(rng.choice(names))]
