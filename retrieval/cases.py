"""Cases: what an archive holds, in a radiologist's nouns. Plain values; the tables are in schema.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Sex = Literal["F", "M"]
RescaleSource = Literal["header", "metadata", "none"]
RescaleRule = Literal["auto", "header", "metadata", "none"]
VolumeKind = Literal["nifti", "nrrd", "dicom", "rad_chestct", "phantom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFile:
    """Where the voxels of a volume are, and what a metadata table says of them.

    `uri` identifies the bytes: a path for files, the sorted first path's folder plus series for DICOM, and
    `phantom:SEED/STUDY/RECONSTRUCTION` for a phantom, which is drawn, not read.
    """

    kind: VolumeKind
    uri: str
    paths: tuple[Path, ...] = ()  # every file that holds voxels of this volume; empty for a phantom
    table_rescale: tuple[float, float] | None = None  # (slope, intercept) as the metadata table gives them
    table_spacing_mm: tuple[float, float, float] | None = None  # (x, y, z), likewise

    @property
    def readable(self) -> Path | list[Path]:
        """What a reader is given: all files of a DICOM series, otherwise the one that names the volume."""
        return list(self.paths) if self.kind == "dicom" else self.paths[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How a volume was made and of whom; None where the source does not say.

    Ages of 90 and more are pooled as 90 when the source is de-identified (HIPAA safe harbour).
    """

    sex: Sex | None = None
    age_years: float | None = None
    manufacturer: str | None = None
    model: str | None = None
    kernel: str | None = None
    slice_mm: float | None = None
    pixel_mm: float | None = None
    other: Mapping[str, str] = field(default_factory=dict)  # further columns of the source, as text


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One reconstruction of a scan; `name` is the source's own name for it, without a file ending."""

    name: str
    file: VolumeFile | None = None  # None: the tables name it, the file has not arrived
    acquisition: Acquisition = field(default_factory=Acquisition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the radiologist wrote; sections that were not given are empty."""

    name: str
    findings: str = ""
    impression: str = ""
    clinical_information: str = ""
    technique: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One study: a patient's scan with its reconstructions, reports and labels.

    `labels` maps a name of `encoders.abnormalities.ABNORMALITIES` to present or absent; a missing name is
    unknown, not absent. `label_source` says where they come from.
    """

    dataset: str  # "ct-rate", "rad-chestct", "folder", "dicom", "phantom": the first half of every identity
    patient: str
    study: str
    split: str | None = None
    day: int | None = None  # days since the patient's first study
    volumes: tuple[Volume, ...] = ()
    reports: tuple[Report, ...] = ()
    labels: Mapping[str, bool] = field(default_factory=dict)
    label_source: Literal["manual", "extractor", "zero_shot"] = "manual"
    identity: Mapping[str, str] = field(
        default_factory=dict
    )  # what identity_link encrypts: accession, UIDs, path


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file or row that is no case: recorded with its reason, it never stops the rest."""

    item: str
    error: str
