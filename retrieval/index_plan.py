"""What is left to do for a batch of cases: volumes and reports without a latent, or with an old one."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from encoders.errors import VolumeError
from encoders.reports import ReportSections
from retrieval.cases import Case, RescaleRule, Volume, VolumeFile
from retrieval.reading import FileStat, file_sha256, stat_file, volume_content
from retrieval.records import CollectionInfo, FileRow, SavedCases
from retrieval.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeJob:
    """A volume whose latent is missing or out of date."""

    item: str  # for the operator's terminal and the failure list
    volume_id: int
    study_id: int
    file: VolumeFile
    stat: FileStat
    sha256: bytes
    content: bytes
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportJob:
    """A report whose latent is missing or out of date."""

    item: str
    report_id: int
    study_id: int
    sections: ReportSections
    content: bytes
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A volume or report whose latent is up to date."""

    case_changed: bool  # its labels or metadata were not
    file: FileRow | None = None  # the same bytes under another time or size


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutFile:
    """A volume that a table names and whose file has not arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A file that cannot even be looked at."""

    item: str
    error: str
    study_id: int


def plan_reports(
    store: Store, collection: CollectionInfo, cases: Sequence[Case], saved: SavedCases
) -> Iterator[ReportJob | Unchanged]:
    """Yield what is to be done for every report that says anything."""
    rows = [(case, report, saved.report_id(case, report)) for case in cases for report in case.reports]
    known = store.known_report_content(collection, [report_id for *_, report_id in rows])
    for case, report, report_id in rows:
        sections = ReportSections(findings=report.findings, impression=report.impression)
        content = hashlib.sha256(sections.text.encode()).digest()
        if not sections.text:
            continue
        if known.get(report_id) == content:
            yield Unchanged(case_changed=saved.is_changed(case))
            continue
        yield ReportJob(
            item=report.name,
            report_id=report_id,
            study_id=saved.study_id(case),
            sections=sections,
            content=content,
            is_new=report_id not in known,
        )


def plan_volumes(
    store: Store, collection: CollectionInfo, cases: Sequence[Case], saved: SavedCases, rule: RescaleRule
) -> Iterator[VolumeJob | Unchanged | WithoutFile | Rejected]:
    """Yield what is to be done for every volume, reading bytes only where size or time differ."""
    rows = [(case, volume, saved.volume_id(case, volume)) for case in cases for volume in case.volumes]
    ids = [volume_id for *_, volume_id in rows]
    files = store.known_files(ids)
    contents = store.known_volume_content(collection, ids)
    for case, volume, volume_id in rows:
        if volume.file is None:
            yield WithoutFile()
            continue
        try:
            _refuse_namesake(volume, files.get(volume_id))
            stat, sha256 = _look_at(volume.file, files.get(volume_id))
        except VolumeError as error:
            yield Rejected(item=item_name(volume), error=str(error), study_id=saved.study_id(case))
            continue
        content = volume_content(sha256, volume.file, rule)
        if contents.get(volume_id) == content:
            moved = _moved(files.get(volume_id), stat)
            yield Unchanged(case_changed=saved.is_changed(case), file=moved)
            continue
        yield VolumeJob(
            item=item_name(volume),
            volume_id=volume_id,
            study_id=saved.study_id(case),
            file=volume.file,
            stat=stat,
            sha256=sha256,
            content=content,
            is_new=volume_id not in contents,
        )


def item_name(volume: Volume) -> str:
    """Return what an operator calls a volume: its file, its series' folder, or its name in the tables."""
    if volume.file is None or not volume.file.paths:
        return volume.name
    first = volume.file.paths[0]
    return f"{first.parent}: series {volume.name}" if volume.file.kind == "dicom" else str(first)


def _look_at(file: VolumeFile, known: FileRow | None) -> tuple[FileStat, bytes]:
    stat = stat_file(file)
    if known is not None and file.paths and (known.size, known.mtime_ns) == (stat.size, stat.mtime_ns):
        return stat, known.sha256
    return stat, file_sha256(file)


def _refuse_namesake(volume: Volume, known: FileRow | None) -> None:
    """A file that moved is the same volume; another one of its name, while the first is there, is not."""
    if volume.file is None or known is None or known.uri in (None, volume.file.uri) or not volume.file.paths:
        return
    if Path(known.uri or "").exists():
        raise VolumeError(
            f"the name {volume.name} belongs to {known.uri} already: index a folder above both, "
            "or without --anonymous, which tells them apart"
        )


def _moved(known: FileRow | None, stat: FileStat) -> FileRow | None:
    if known is None or (known.size, known.mtime_ns) == (stat.size, stat.mtime_ns):
        return None
    return replace(known, size=stat.size, mtime_ns=stat.mtime_ns)
