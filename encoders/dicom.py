"""DICOM files become series: grouped, cleared of what is no slice, sorted, checked for being one volume."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from encoders.dicom_geometry import arrange, is_stack
from encoders.dicom_headers import HeaderReading, Plane, full_header, read_header
from encoders.errors import VolumeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One reconstruction as stored: its slices sorted from the first to the last along the slice normal.

    UIDs and the patient are the file's own, not yet pseudonyms. A series with problems is no volume.
    """

    patient: str  # PatientID, or the name where that is empty
    study_uid: str
    series_uid: str
    planes: tuple[Plane, ...]  # duplicates are gone
    spacing_mm: tuple[float, float, float]  # (along a row, along a column, between slices); 0 where unknown
    header: Dataset  # of the first slice, without pixels
    problems: tuple[str, ...] = ()  # each half a sentence: "misses slices between z=… and z=… mm"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of this series, each once, in the order of their slices."""
        return tuple(dict.fromkeys(plane.path for plane in self.planes))


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomFolder:
    """Everything found under a folder; the second of each pair is a reason."""

    series: tuple[Series, ...]
    passed_over: tuple[
        tuple[Path, str], ...
    ]  # localisers, dose reports, single slices, other files: no fault
    unreadable: tuple[tuple[Path, str], ...]  # DICOM that cannot be read, or may not be


def find_series(folder: Path) -> DicomFolder:
    """Walk a tree and group every CT slice in it into series, reading headers only.

    Files are judged by their content, not their names. Series are sorted by patient, study and series UID.

    Raises:
        VolumeError: the folder does not exist or may not be listed.
    """
    return _group(_files_under(folder))


def read_series(source: Path | Sequence[Path]) -> list[Series]:
    """Return the CT series of a folder or of the files given, for reading their voxels.

    Raises:
        VolumeError: nothing there is a CT series, or a DICOM file cannot be read.
    """
    paths = _files_under(source) if isinstance(source, Path) and source.is_dir() else _as_paths(source)
    found = _group(paths)
    where = source.name if isinstance(source, Path) else f"the {len(paths)} files given"
    if found.unreadable:
        path, reason = found.unreadable[0]
        raise VolumeError(f"{path.name} cannot be read as DICOM ({reason}): export the series again")
    if not found.series:
        reasons = sorted({reason for _, reason in found.passed_over})
        why = f" ({'; '.join(reasons[:3])})" if reasons else ""
        raise VolumeError(f"{where} holds no CT series{why}: give a folder of axial CT slices")
    return list(found.series)


def _as_paths(source: Path | Sequence[Path]) -> list[Path]:
    return [source] if isinstance(source, Path) else list(source)


def _files_under(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise VolumeError(
            f"the folder {Path(error.filename).name} cannot be listed ({error.strerror}): "
            "check that it exists and that you may read it"
        ) from error

    return sorted(Path(root) / name for root, _, names in os.walk(folder, onerror=refuse) for name in names)


def _group(paths: Iterable[Path]) -> DicomFolder:
    readings: dict[tuple[str, str], list[HeaderReading]] = defaultdict(list)
    passed_over: list[tuple[Path, str]] = []
    unreadable: list[tuple[Path, str]] = []
    for path in paths:
        reading = read_header(path)
        if reading.verdict == "slices":
            readings[reading.study_uid, reading.series_uid].append(reading)
        else:
            (passed_over if reading.verdict == "passed over" else unreadable).append((path, reading.reason))
    series: list[Series] = []
    for group in readings.values():
        planes = [plane for reading in group for plane in reading.planes]
        if is_stack(planes):
            series.append(_series(group, planes))
        else:
            passed_over.extend((reading.path, "no stack of slices") for reading in group)
    series.sort(key=lambda one: (one.patient, one.study_uid, one.series_uid))
    return DicomFolder(series=tuple(series), passed_over=tuple(passed_over), unreadable=tuple(unreadable))


def _series(readings: Sequence[HeaderReading], planes: Sequence[Plane]) -> Series:
    arrangement = arrange(planes)
    patients = sorted({reading.patient for reading in readings})
    mixed = (f"mixes slices of {len(patients)} patients",) if len(patients) > 1 else ()
    return Series(
        patient=patients[0],
        study_uid=readings[0].study_uid,
        series_uid=readings[0].series_uid,
        planes=arrangement.planes,
        spacing_mm=arrangement.spacing_mm,
        header=full_header(arrangement.planes[0].path),
        problems=(*mixed, *arrangement.problems),
    )
