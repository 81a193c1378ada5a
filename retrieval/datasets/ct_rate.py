"""CT-RATE: volumes named split_patient_scan_reconstruction, tables joined to them by that name.

Source: Hamamci et al., CT-RATE (arXiv 2403.17834), as released on Hugging Face.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from encoders.errors import DatasetError
from retrieval.cases import Case, Report, Unreadable, Volume
from retrieval.datasets.columns import (
    ACCESSION,
    NAME,
    MetadataRow,
    finding_columns,
    read_labels,
    read_metadata,
    read_report,
    study_date,
)
from retrieval.datasets.files import Listing, files_by_name, volume_file
from retrieval.datasets.found_tables import choose_tables, table_paths
from retrieval.datasets.joined import KINDS, Entry, Joined, join, unreadable_row
from retrieval.datasets.source import Source, Tables
from retrieval.volume_names import without_ending

_NAME_COLUMNS = (*NAME, *ACCESSION)
_EXPECTED = "a name like valid_53_a_1 or valid_53_a"
_NAME = re.compile(
    r"(?P<study>(?P<patient>(?P<split>[A-Za-z]+)_(?P<number>\d+))_(?P<scan>[a-z]+))"
    r"(?:_(?P<reconstruction>\d+))?"
)


@dataclass(frozen=True, slots=True, order=True)
class CtRateName:
    """A name taken apart, in the order of the archive: valid_9 before valid_10, scan z before aa."""

    split: str
    number: int
    scan_length: int
    scan: str
    reconstruction: int  # 0 for the name of a study
    study: str = field(compare=False)
    patient: str = field(compare=False)


def ct_rate_name(text: str) -> CtRateName | None:
    """Take the name of a volume or a study apart, with or without a folder and a file ending."""
    match = _NAME.fullmatch(without_ending(re.split(r"[\\/]", text)[-1]))
    if match is None:
        return None
    return CtRateName(
        split=match["split"],
        number=int(match["number"]),
        scan_length=len(match["scan"]),
        scan=match["scan"],
        reconstruction=int(match["reconstruction"] or 0),
        study=match["study"],
        patient=match["patient"],
    )


def is_ct_rate_volume(text: str) -> bool:
    """Whether a file is named like a volume of CT-RATE."""
    name = ct_rate_name(text)
    return name is not None and name.reconstruction > 0


def open_ct_rate(listing: Listing, tables: Tables, decided: tuple[str, ...] = ()) -> Source:
    """Open a folder of CT-RATE: volumes at any depth, tables given, or found in it or beside it.

    Every volume that a file or a table row names belongs to its study; a row without a file is a volume whose
    file has not arrived. Declared anonymous by its publishers: names are kept, study dates become days.

    Args:
        listing: of the folder.
        tables: given by hand.
        decided: sentences to be shown first.

    Raises:
        DatasetError: there is neither a volume nor a table, or a table cannot be read as what it is.
    """
    files, unreadable = files_by_name(listing, _name_of, _EXPECTED)
    chosen = choose_tables(
        tables,
        table_paths(listing.folder, beside=bool(files)),
        volume_splits=frozenset(parsed.split for name in files if (parsed := ct_rate_name(name))),
        names=_NAME_COLUMNS,
        split_of=_split_of,
    )
    joined = {kind: join(chosen.tables[kind], _NAME_COLUMNS, _key_of, _EXPECTED) for kind in KINDS}
    labels, doubts = _labels_by_study(joined["labels"])
    archive = _Archive(
        files=files,
        metadata=joined["metadata"],
        reports=_by_study(joined["reports"].rows),
        labels=labels,
        unreadable=(
            *listing.unreadable,
            *unreadable,
            *(one for kind in KINDS for one in joined[kind].unreadable),
        ),
    )
    studies = archive.studies(joined["labels"].rows)
    if not studies and not unreadable:
        raise DatasetError(
            f"{listing.folder} holds no volume and no table of CT-RATE: give its folder of volumes, "
            "--reports, --labels or --metadata, or another --format"
        )
    return Source(
        dataset="ct-rate",
        anonymous=True,
        count=len(studies),
        entries=lambda _removed, _warnings: archive.entries(studies),
        warnings=(
            *decided,
            *chosen.warnings,
            *(warning for kind in KINDS for warning in joined[kind].warnings),
            *doubts,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Archive:
    """What the files and tables of a folder name."""

    files: Mapping[str, Path]  # by volume
    metadata: Joined  # by volume
    reports: Mapping[str, list[tuple[str, Entry]]]  # by study: name as listed, and its row
    labels: Mapping[str, Mapping[str, bool]]  # by study
    unreadable: tuple[Unreadable, ...]

    def studies(self, labelled: Mapping[str, Entry]) -> dict[str, list[str]]:
        """Return the volumes of every study, both in the order of their names."""
        studies: dict[str, list[str]] = {name: [] for name in self.reports}
        for name in {*self.files, *self.metadata.rows, *labelled}:
            parsed = _parsed(name)
            volumes = studies.setdefault(parsed.study, [])
            if parsed.reconstruction:
                volumes.append(name)
        return {study: sorted(studies[study], key=_parsed) for study in sorted(studies, key=_parsed)}

    def entries(self, studies: Mapping[str, list[str]]) -> Iterator[Case | Unreadable]:
        """Yield what is wrong first, then the cases."""
        yield from self.unreadable
        days = self._days(studies)
        for study, names in studies.items():
            volumes: list[Volume] = []
            for name in names:
                volume = self._volume(name)
                if isinstance(volume, Unreadable):
                    yield volume
                else:
                    volumes.append(volume)
            parsed = _parsed(study)
            yield Case(
                dataset="ct-rate",
                patient=parsed.patient,
                study=study,
                split=parsed.split,
                day=days.get(study),
                volumes=tuple(volumes),
                reports=self._reports(study),
                labels=self.labels.get(study, {}),
            )

    def _volume(self, name: str) -> Volume | Unreadable:
        path, entry = self.files.get(name), self.metadata.rows.get(name)
        try:
            row = MetadataRow() if entry is None else read_metadata(*entry, names=_NAME_COLUMNS)
        except ValueError as error:
            return unreadable_row(name, entry, error)
        file = None if path is None else volume_file(path, rescale=row.rescale, spacing_mm=row.spacing_mm)
        return Volume(name=name, file=file, acquisition=row.acquisition)

    def _reports(self, study: str) -> tuple[Report, ...]:
        """Return the study's report; where its rows are by reconstruction and differ, all of them."""
        reports = [read_report(*entry, name) for name, entry in self.reports.get(study, [])]
        if len({replace(report, name="") for report in reports}) == 1:
            return (replace(reports[0], name=study),)
        return tuple(reports)

    def _days(self, studies: Mapping[str, list[str]]) -> dict[str, int]:
        """Return days since the patient's first dated study; a study's date is its earliest volume's."""
        dates: dict[str, date] = {}
        for study, names in studies.items():
            entries = [entry for name in names if (entry := self.metadata.rows.get(name)) is not None]
            dated = [day for entry in entries if (day := study_date(*entry)) is not None]
            if dated:
                dates[study] = min(dated)
        first: dict[str, date] = {}
        for study, day in dates.items():
            patient = _parsed(study).patient
            first[patient] = min(day, first.get(patient, day))
        return {study: (day - first[_parsed(study).patient]).days for study, day in dates.items()}


def _name_of(path: Path) -> str | None:
    return without_ending(path.name) if is_ct_rate_volume(path.name) else None


def _labels_by_study(labels: Joined) -> tuple[dict[str, dict[str, bool]], list[str]]:
    """Return what all label rows of a study agree on, and a warning where some do not."""
    tables = {table.path: table for table, _ in labels.rows.values()}
    columns = {path: finding_columns(table) for path, table in tables.items()}
    merged: dict[str, dict[str, bool | None]] = {}
    for name, (table, row) in labels.rows.items():
        study = merged.setdefault(_parsed(name).study, {})
        for finding, present in read_labels(table, row, columns[table.path]).items():
            study[finding] = present if study.get(finding, present) is present else None
    agreed = {
        study: {finding: present for finding, present in found.items() if present is not None}
        for study, found in merged.items()
    }
    apart = sum(len(agreed[study]) < len(found) for study, found in merged.items())
    warning = (
        f"reconstructions of {apart} studies are labelled differently: findings they disagree on are unknown"
    )
    return agreed, [warning] if apart else []


def _by_study(rows: Mapping[str, Entry]) -> dict[str, list[tuple[str, Entry]]]:
    studies: dict[str, list[tuple[str, Entry]]] = {}
    for name, entry in rows.items():
        read_report(*entry, name)
        studies.setdefault(_parsed(name).study, []).append((name, entry))
    return studies


def _parsed(name: str) -> CtRateName:
    parsed = ct_rate_name(name)
    if parsed is None:
        raise DatasetError(f"{name} is not named as CT-RATE's volumes are: expected {_EXPECTED}")
    return parsed


def _key_of(text: str) -> str | None:
    name = without_ending(re.split(r"[\\/]", text)[-1])
    return name if ct_rate_name(name) else None


def _split_of(text: str) -> str | None:
    name = ct_rate_name(text)
    return name.split if name else None
