"""DICOM folders: one case a study, one volume a usable series, reports and labels by any of their numbers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from encoders.dicom import DicomFolder, Series, find_series
from encoders.errors import DatasetError, VolumeError
from retrieval.acquisition import parse_date
from retrieval.cases import Case, Unreadable, VolumeFile
from retrieval.datasets.attach import Attached, Index, attach_labels, attach_reports
from retrieval.datasets.joined import KINDS
from retrieval.datasets.raw_studies import RawName, RawStudy, RawVolume, release
from retrieval.datasets.source import Source, Tables
from retrieval.datasets.tables import Table, read_table
from retrieval.deidentify import PseudonymKey
from retrieval.deidentify_dicom import clear_header

_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_NO_STUDY = "name no study that is here, and were left out"


@dataclass(slots=True)
class DicomStudies:
    """The studies below a folder, the names they go by, and what is no volume."""

    studies: list[RawStudy] = field(default_factory=list)
    index: Index = field(default_factory=Index)
    unreadable: list[Unreadable] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def open_dicom(
    folder: Path, tables: Tables, *, key: PseudonymKey | None, decided: tuple[str, ...] = ()
) -> Source:
    """Open a folder of DICOM files; their headers are read when the source is gone through.

    Args:
        folder: of any depth and order; files are judged by content.
        tables: reports and labels, by series or study UID, accession number or patient ID.
        key: makes pseudonyms; None for a source declared anonymous.
        decided: sentences to be shown first.

    Raises:
        DatasetError: a table cannot be read as what it is; or, when gone through, there is no CT series.
    """
    given = {kind: read_table(path) for kind in KINDS if (path := getattr(tables, kind)) is not None}

    def entries(removed: Counter[str], warnings: list[str]) -> Iterator[Case | Unreadable]:
        found = dicom_studies(folder, is_anonymous=key is None)
        if not found.studies and not found.unreadable:
            reasons = "; ".join(found.warnings) or "no DICOM files"
            raise DatasetError(f"{folder} holds no CT series ({reasons}): give a folder of axial CT slices")
        warnings += found.warnings
        yield from found.unreadable
        for attached in _attach(found.index, given.get("reports"), given.get("labels")):
            yield from attached.unreadable
            warnings += attached.warnings
        yield from release(found.studies, key=key, removed=removed)

    unused = ["--metadata was not read: DICOM headers say all of it"] if "metadata" in given else []
    return Source(dataset="dicom", anonymous=key is None, entries=entries, warnings=(*decided, *unused))


def dicom_studies(folder: Path, *, is_anonymous: bool) -> DicomStudies:
    """Find every CT study below a folder; of its headers, only what the archive may keep.

    Raises:
        DatasetError: the folder, or one in it, may not be listed.
    """
    try:
        listed = find_series(folder)
    except VolumeError as error:
        raise DatasetError(str(error)) from error
    found = DicomStudies()
    by_uid: dict[str, list[Series]] = {}
    claims = Counter(series.series_uid for series in listed.series)
    for series in listed.series:
        if series.problems:
            found.unreadable.append(_unusable(series, folder))
        elif claims[series.series_uid] > 1:
            found.unreadable.append(_two_studies(series, folder))
        else:
            by_uid.setdefault(series.study_uid or series.series_uid, []).append(series)
    for uid, group in by_uid.items():
        patients = {series.patient for series in group}
        if len(patients) > 1:
            found.unreadable.append(_two_patients(group, len(patients), folder))
            continue
        study = _study(uid, group, is_anonymous=is_anonymous)
        found.studies.append(study)
        _add_aliases(found.index, study, group)
    found.unreadable += [
        Unreadable(item=_relative(path, folder), error=f"{_relative(path, folder)} cannot be read: {reason}")
        for path, reason in listed.unreadable
    ]
    found.warnings += _passed_over(listed)
    return found


def _attach(index: Index, reports: Table | None, labels: Table | None) -> Iterator[Attached]:
    for table, attach in ((reports, attach_reports), (labels, attach_labels)):
        if table is not None:
            attached = attach(table, index)
            attached.note_unmatched(table, _NO_STUDY)
            yield attached


def _study(uid: str, group: list[Series], *, is_anonymous: bool) -> RawStudy:
    header = group[0].header
    dates = [parse_date(str(header.get(keyword) or "")) for keyword in _DATES]
    patient_id = str(header.get("PatientID") or "").strip()
    issuer = str(header.get("IssuerOfPatientID") or "").strip()
    patient = group[0].patient.strip() or f"of study {uid}"
    study = RawStudy(
        dataset="dicom",
        patient=RawName(f"{issuer}\\{patient}" if issuer else patient, patient),
        study=RawName(uid, uid),
        examined=next((one for one in dates if one is not None), None),
        identity={
            label: value
            for label, value in {
                "patient_id": patient_id,
                "patient_name": str(header.get("PatientName") or ""),
                "accession": str(header.get("AccessionNumber") or ""),
                "study_uid": uid,
            }.items()
            if value
        },
    )
    for series in sorted(group, key=_series_order):
        _add_volume(study, series, is_anonymous=is_anonymous)
    return study


def _add_volume(study: RawStudy, series: Series, *, is_anonymous: bool) -> None:
    cleared = clear_header(series.header, is_anonymous=is_anonymous)
    folder = series.paths[0].parent
    study.volumes.append(
        RawVolume(
            name=RawName(series.series_uid, series.series_uid),
            file=VolumeFile(kind="dicom", uri=f"{folder}#{series.series_uid}", paths=series.paths),
            acquisition=cleared.acquisition,
            is_cleared=True,
            identity={"series_uid": series.series_uid, "path": str(folder)},
        )
    )
    study.known = study.known.merged(cleared.known)
    study.removed += cleared.removed


def _series_order(series: Series) -> tuple[int, str]:
    number = str(series.header.get("SeriesNumber") or "")
    return (int(number) if number.isdecimal() else 0, series.series_uid)


def _add_aliases(index: Index, study: RawStudy, group: list[Series]) -> None:
    header = group[0].header
    for alias in (study.study.key, *(str(header.get(key) or "") for key in ("AccessionNumber", "PatientID"))):
        index.add(alias, study)
    for series in group:
        index.add(series.series_uid, study)


def _unusable(series: Series, folder: Path) -> Unreadable:
    where = _relative(series.paths[0].parent, folder)
    number = series.header.get("SeriesNumber")
    item = where if number is None else f"{where} series {number}"
    return Unreadable(
        item=item, error=f"{item} is no volume: it {', and '.join(series.problems)}; export the series again"
    )


def _two_studies(series: Series, folder: Path) -> Unreadable:
    where = _relative(series.paths[0].parent, folder)
    return Unreadable(
        item=where,
        error=f"{where} holds a series whose UID another study has too: find out whose it is and export it",
    )


def _two_patients(group: list[Series], count: int, folder: Path) -> Unreadable:
    where = _relative(group[0].paths[0].parent, folder)
    return Unreadable(
        item=where,
        error=f"{where} holds one study of {count} patients: find out whose it is, and export it again",
    )


def _passed_over(listed: DicomFolder) -> list[str]:
    reasons = Counter(reason for _, reason in listed.passed_over if reason != "not a DICOM file")
    return [f"{count} files were passed over: {reason}" for reason, count in sorted(reasons.items())]


def _relative(path: Path, folder: Path) -> str:
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return path.name
