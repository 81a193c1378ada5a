"""A plain folder: every NIfTI or NRRD file a volume, DICOM series beside them, tables joined by file name."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from encoders.dicom_headers import read_header
from encoders.errors import DatasetError
from retrieval.acquisition import column_key
from retrieval.cases import Acquisition, Case, Unreadable
from retrieval.datasets.attach import (
    ANY_KEY,
    Attached,
    Index,
    add_identity,
    attach_labels,
    attach_reports,
    path_aliases,
    plain_name,
    row_name,
)
from retrieval.datasets.columns import (
    ACCESSION,
    NAME,
    PATIENT,
    PATIENT_NAME,
    SPLIT,
    STUDY,
    MetadataRow,
    kinds_of,
    read_metadata,
)
from retrieval.datasets.dicom_archive import DicomStudies, dicom_studies
from retrieval.datasets.files import Listing, files_by_name, volume_file
from retrieval.datasets.joined import KINDS, Entry, TableKind
from retrieval.datasets.raw_studies import RawName, RawStudy, RawVolume, release
from retrieval.datasets.source import Source, Tables
from retrieval.datasets.tables import Row, Table, cell, read_columns, read_table, rows_by_name
from retrieval.deidentify import PseudonymKey
from retrieval.volume_names import volume_kind

_SPLIT_NAME = re.compile(r"[\w-]{1,20}")
_DICOM_ENDINGS = frozenset({".dcm", ".ima", ".dicom", ""})
_LOOKED_AT = 200  # files without a known ending, to see whether there is DICOM among them


def open_folder(
    listing: Listing, tables: Tables, *, key: PseudonymKey | None, decided: tuple[str, ...] = ()
) -> Source:
    """Open a folder of volume files, with tables given, or found right in it.

    A file is a study and a patient of its own, unless the metadata table has columns for them. Its identity
    is its path, so a folder that moves is another archive. Table rows without a file are kept as such.

    Args:
        listing: of the folder.
        tables: given by hand; joined by file name, path, study or patient.
        key: makes pseudonyms; None for a source declared anonymous, whose volumes keep their paths as names.
        decided: sentences to be shown first.

    Raises:
        DatasetError: there is neither a volume nor a table, or a table cannot be read as what it is.
    """
    chosen, told = _choose(listing, tables)
    with_dicom = has_dicom(listing)
    if not chosen and not with_dicom and not _volume_names(listing):
        raise DatasetError(
            f"{listing.folder} holds no volume (.nii, .nii.gz, .nrrd, .nhdr or DICOM) and no table: "
            "give a folder that does, or --reports, --labels or --metadata"
        )
    alone = None if with_dicom else _Folder.of(listing, chosen, DicomStudies())

    def entries(removed: Counter[str], warnings: list[str]) -> Iterator[Case | Unreadable]:
        folder = alone or _Folder.of(listing, chosen, dicom_studies(listing.folder, is_anonymous=key is None))
        if alone is None:
            warnings += folder.warnings
        yield from folder.unreadable
        yield from release(folder.studies, key=key, removed=removed)

    return Source(
        dataset="folder",
        anonymous=key is None,
        count=None if alone is None else len(alone.studies),
        entries=entries,
        warnings=(*decided, *told, *_passed_over(listing), *(alone.warnings if alone else ())),
    )


def has_dicom(listing: Listing) -> bool:
    """Whether there are CT slices in DICOM among the files without another known ending."""
    likely_first = sorted(listing.others, key=lambda path: path.suffix.lower() not in _DICOM_ENDINGS)
    return any(read_header(path).verdict == "slices" for path in likely_first[:_LOOKED_AT])


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A table, and whether it was given by hand; one that was found must name something that is there."""

    table: Table
    by_hand: bool


@dataclass(slots=True)
class _Folder:
    """The studies of a folder as its files and tables name them."""

    listing: Listing
    studies: list[RawStudy]
    index: Index
    unreadable: list[Unreadable]
    warnings: list[str]
    grouped: dict[tuple[str, str], RawStudy] = field(default_factory=dict)

    @classmethod
    def of(cls, listing: Listing, tables: Mapping[TableKind, _Chosen], dicom: DicomStudies) -> "_Folder":
        """Build the studies: files with their metadata, then report and label rows, then what they say."""
        files, twice = _volume_files(listing)
        unreadable = [*listing.unreadable, *twice, *dicom.unreadable]
        folder = cls(listing, dicom.studies, dicom.index, unreadable, dicom.warnings)
        rows = folder._metadata(tables["metadata"], files) if "metadata" in tables else set()
        for name, path in files.items():
            if name not in rows:
                folder._add(name, path, None)
        _name_apart(folder.studies)
        if "reports" in tables and folder._add_rows_alone(tables["reports"], with_volume=False):
            folder._note(attach_reports(tables["reports"].table, folder.index))
        if "labels" in tables and folder._add_rows_alone(tables["labels"], with_volume=True):
            folder._note(attach_labels(tables["labels"].table, folder.index))
        return folder

    def _note(self, attached: Attached) -> None:
        self.unreadable += attached.unreadable
        self.warnings += attached.warnings

    def _metadata(self, chosen: _Chosen, files: Mapping[str, Path]) -> set[str]:
        """Add the volumes that rows describe, with a file or without, and return those with one."""
        table = chosen.table
        place = table.require(NAME, "the name of the volume")
        names: dict[str, set[str]] = {}
        for name, path in files.items():
            for alias in path_aliases(path, self.listing.folder):
                names.setdefault(plain_name(alias), set()).add(name)
        meant = {row.line: names.get(plain_name(cell(row, place)), set()) for row in table.rows}
        if not chosen.by_hand and files and not any(meant.values()):
            self.warnings.append(f"{table.path.name} was left out: it names no file of the folder")
            return set()
        rows, clashes, repeated = rows_by_name(
            table, [row_name(table, row) for row in table.rows], show_keys=False
        )
        self.unreadable += clashes
        self.warnings += [*table.warnings, *repeated]
        described: set[str] = set()
        for written, row in rows.items():
            found = meant[row.line]
            if len(found) > 1:
                self._refuse(
                    table, row, f"names {written}, which is {' and '.join(sorted(found))}: give the path"
                )
                continue
            name = next(iter(found), plain_name(written))
            try:
                self._add(name, files.get(name), (table, row))
            except ValueError as error:
                self._refuse(table, row, str(error))
            described |= found
        return described

    def _refuse(self, table: Table, row: Row, why: str) -> None:
        where = f"{table.path.name}: line {row.line}"
        self.unreadable.append(Unreadable(item=where, error=f"{where} {why}"))

    def _add(self, name: str, path: Path | None, entry: Entry | None, *, with_volume: bool = True) -> None:
        """Add a volume to its study, or a study without one; `name` is the path below the folder.

        Raises:
            ValueError: a row's spacing or scale is no number.
        """
        own = RawName(f"{self.listing.folder.as_posix()}/{name}", name)
        row = MetadataRow() if entry is None else read_metadata(*entry)
        study = self._study_of(own, entry)
        if row.study_date is not None:
            study.examined = min(row.study_date, study.examined or row.study_date)
        if with_volume:
            file = None if path is None else volume_file(path, rescale=row.rescale, spacing_mm=row.spacing_mm)
            identity = {"path": str(path), "name": name} if path else {"name": name}
            study.volumes.append(
                RawVolume(name=own, file=file, acquisition=_without_names(row.acquisition), identity=identity)
            )
        for alias in path_aliases(path, self.listing.folder) if path else (name,):
            self.index.add(alias, study)

    def _study_of(self, own: RawName, entry: Entry | None) -> RawStudy:
        """Return the study that a row's columns name, or one of its own."""
        patient_id, study_id, split = (
            ("", "", "")
            if entry is None
            else (cell(entry[1], entry[0].find(c)) for c in (PATIENT, STUDY, SPLIT))
        )
        known = self.grouped.get((patient_id, study_id)) if study_id else None
        if known is not None:
            return known
        name = RawName(f"{patient_id}\\{study_id}", study_id) if study_id else own
        study = RawStudy(
            dataset="folder",
            patient=RawName(patient_id, patient_id) if patient_id else name,
            study=name,
            split=split if _SPLIT_NAME.fullmatch(split) else None,
        )
        if study_id:
            self.grouped[patient_id, study_id] = study
        if entry is not None:
            add_identity(study, *entry)
            for columns in (STUDY, ACCESSION, PATIENT):
                self.index.add(cell(entry[1], entry[0].find(columns)), study)
        self.studies.append(study)
        return study

    def _add_rows_alone(self, chosen: _Chosen, *, with_volume: bool) -> bool:
        """Add a study for every row that names none; return whether the table belongs here at all."""
        table = chosen.table
        alone = [row for row in table.rows if not self.index.find(table, row)]
        if not chosen.by_hand and self.studies and len(alone) == len(table.rows):
            self.warnings.append(f"{table.path.name} was left out: it names no file of the folder")
            return False
        for row in alone:
            if not self.index.find(table, row):
                name = plain_name(row_name(table, row))
                self._add(name, None, (table, row), with_volume=with_volume)
        return True


def _choose(listing: Listing, given: Tables) -> tuple[dict[TableKind, _Chosen], list[str]]:
    """Return the tables given, and for the other kinds those that lie in the folder itself."""
    chosen = {
        kind: _Chosen(read_table(path), True) for kind in KINDS if (path := getattr(given, kind)) is not None
    }
    taken = {one.table.path.resolve() for one in chosen.values()}
    told: list[str] = []
    for kind in KINDS:
        fitting = [path for path in listing.tables if path not in taken and kind in _kinds(path)]
        if kind in chosen or not fitting:
            continue
        if len(fitting) > 1:
            names = " and ".join(path.name for path in fitting)
            raise DatasetError(f"{listing.folder} holds {names}: say with --{kind} which are the {kind}")
        chosen[kind] = _Chosen(read_table(fitting[0]), False)
        told.append(f"{fitting[0]} was taken as the table of {kind}")
    return chosen, told


def _kinds(path: Path) -> frozenset[str]:
    columns = read_columns(path)
    keys = {column_key(column) for column in columns}
    return kinds_of(columns) if keys & {column_key(name) for name in ANY_KEY} else frozenset()


def _volume_names(listing: Listing) -> tuple[Path, ...]:
    return tuple(path for path in listing.volumes if volume_kind(path.name) in ("nifti", "nrrd"))


def _passed_over(listing: Listing) -> list[str]:
    count = len(listing.volumes) - len(_volume_names(listing))
    told = f"{count} .npz files were passed over: only RAD-ChestCT's can be read, with --format rad-chestct"
    return [told] if count else []


def _volume_files(listing: Listing) -> tuple[dict[str, Path], list[Unreadable]]:
    volumes = replace(listing, volumes=_volume_names(listing))
    return files_by_name(volumes, lambda path: plain_name(listing.relative(path)), "one file a volume")


def _without_names(acquisition: Acquisition) -> Acquisition:
    """Leave out the columns that name patient, study and split: they have their own places."""
    named = {column_key(name) for name in (*ANY_KEY, *PATIENT_NAME, *SPLIT)}
    other = {column: value for column, value in acquisition.other.items() if column_key(column) not in named}
    return replace(acquisition, other=other)


def _name_apart(studies: list[RawStudy]) -> None:
    """Put the patient before study names that several patients share, such as "1"."""
    owners: dict[str, set[str]] = {}
    for study in studies:
        owners.setdefault(study.study.shown, set()).add(study.patient.key)
    for study in studies:
        if len(owners[study.study.shown]) > 1:
            study.study = RawName(study.study.key, f"{study.patient.shown}/{study.study.shown}")
