"""RAD-ChestCT: .npz volumes named trn00001, labels in one column a finding or one a finding and place.

Source: Draelos et al. 2021 (Med Image Anal 67:101857); release at doi 10.5281/zenodo.6406114.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from retrieval.cases import Acquisition, Case, Report, Unreadable, Volume
from retrieval.datasets.columns import (
    PATIENT,
    PLACE_MARK,
    finding_columns,
    presence,
    read_labels,
    read_metadata,
    read_report,
)
from retrieval.datasets.files import Listing, files_by_name, volume_file
from retrieval.datasets.found_tables import choose_tables, table_paths
from retrieval.datasets.joined import KINDS, Entry, Joined, TableKind, join, unreadable_row
from retrieval.datasets.source import Source, Tables
from retrieval.datasets.tables import Row, Table, cell
from retrieval.volume_names import without_ending

NAME_COLUMNS = ("NoteAcc_DEID", "VolumeAcc_DEID", "VolumeName", "volume", "name", "file")
_EXPECTED = "a name like trn00001, val00001 or tst00001, volumes ending in .npz"
_NAME = re.compile(r"(?P<split>trn|val|tst)\d+")
OFFICIAL_FINDINGS: Mapping[str, tuple[str, ...]] = {
    "Arterial wall calcification": ("calcification",),
    "Cardiomegaly": ("cardiomegaly",),
    "Pericardial effusion": ("pericardial_effusion",),
    "Coronary artery wall calcification": ("calcification",),
    "Hiatal hernia": ("hernia",),
    "Lymphadenopathy": ("lymphadenopathy",),
    "Emphysema": ("emphysema",),
    "Atelectasis": ("atelectasis",),
    "Lung nodule": ("nodule", "nodulegr1cm"),
    "Lung opacity": ("opacity",),
    "Pulmonary fibrotic sequela": ("fibrosis",),
    "Pleural effusion": ("pleural_effusion",),
    "Peribronchial thickening": ("bronchial_wall_thickening",),
    "Consolidation": ("consolidation",),
    "Bronchiectasis": ("bronchiectasis",),
    "Interlobular septal thickening": ("septal_thickening",),
}
"""Which of the release's 84 findings, at any of 52 places, count as which of the 18; the others are unknown.

The published CT-CLIP evaluation maps calcification to both kinds; medical material and mosaic attenuation
have no counterpart.
"""

CALCIFICATION = "Calcification"
CALCIFICATIONS = tuple(name for name, of in OFFICIAL_FINDINGS.items() if of == ("calcification",))
"""The two of the 18 that RAD-ChestCT knows as one; the published evaluation takes the larger score."""


def rad_chestct_name(text: str) -> str | None:
    """Return the name of a volume without folder and ending; None where it is none of RAD-ChestCT's."""
    name = without_ending(re.split(r"[\\/]", text)[-1])
    return name if _NAME.fullmatch(name) else None


def open_rad_chestct(listing: Listing, tables: Tables, decided: tuple[str, ...] = ()) -> Source:
    """Open a folder of RAD-ChestCT: .npz volumes at any depth, label and metadata tables in it or given.

    Every volume is a study of its own. Its patient is the table's MRN_DEID where one is given, else itself.
    A label table's row without a file is a volume whose file has not arrived; of a metadata table only the
    rows of volumes that are there or labelled count: the released one lists scans that were never released.

    Raises:
        DatasetError: there is neither a volume nor a table, or a table cannot be read as what it is.
    """
    files, unreadable = files_by_name(listing, _name_of, _EXPECTED)
    chosen = choose_tables(
        tables,
        table_paths(listing.folder, beside=bool(files)),
        volume_splits=frozenset(map(_split, files)),
        names=NAME_COLUMNS,
        split_of=_split_of,
    )
    joined = {kind: join(chosen.tables[kind], NAME_COLUMNS, rad_chestct_name, _EXPECTED) for kind in KINDS}
    archive = _Archive(
        files=files,
        joined=joined,
        labels=_labels(joined["labels"]),
        unreadable=(
            *listing.unreadable,
            *unreadable,
            *(one for kind in KINDS for one in joined[kind].unreadable),
        ),
    )
    names = sorted({*files, *joined["labels"].rows, *joined["reports"].rows}, key=_order)
    if not names and not unreadable:
        raise DatasetError(
            f"{listing.folder} holds no volume and no label table of RAD-ChestCT: "
            "give its folder of .npz files, --labels, or another --format"
        )
    return Source(
        dataset="rad-chestct",
        anonymous=True,
        count=len(names),
        entries=lambda _removed, _warnings: archive.entries(names),
        warnings=(*decided, *chosen.warnings, *(one for kind in KINDS for one in joined[kind].warnings)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Archive:
    files: Mapping[str, Path]
    joined: Mapping[TableKind, Joined]
    labels: Mapping[str, Mapping[str, bool]]
    unreadable: tuple[Unreadable, ...]

    def entries(self, names: list[str]) -> Iterator[Case | Unreadable]:
        """Yield what is wrong first, then one case a volume."""
        yield from self.unreadable
        for name in names:
            entry = self.joined["metadata"].rows.get(name)
            try:
                acquisition = Acquisition() if entry is None else _acquisition(*entry)
            except ValueError as error:
                yield unreadable_row(name, entry, error)
                acquisition = Acquisition()
            file = volume_file(self.files[name]) if name in self.files else None
            yield Case(
                dataset="rad-chestct",
                patient=self._patient(name, entry),
                study=name,
                split=_split(name),
                volumes=(Volume(name=name, file=file, acquisition=acquisition),),
                reports=self._reports(name),
                labels=self.labels.get(name, {}),
            )

    def _patient(self, name: str, entry: Entry | None) -> str:
        return name if entry is None else cell(entry[1], entry[0].find(PATIENT)) or name

    def _reports(self, name: str) -> tuple[Report, ...]:
        entry = self.joined["reports"].rows.get(name)
        return () if entry is None else (read_report(*entry, name),)


def _acquisition(table: Table, row: Row) -> Acquisition:
    """Read the metadata of a volume; its scale and spacing are those before the release resampled it."""
    return read_metadata(table, row, names=NAME_COLUMNS).acquisition


def _labels(labels: Joined) -> dict[str, dict[str, bool]]:
    tables = {table.path: table for table, _ in labels.rows.values()}
    readers = {path: LabelReader.of(table) for path, table in tables.items()}
    return {name: readers[table.path].read(table, row) for name, (table, row) in labels.rows.items()}


@dataclass(frozen=True, slots=True)
class LabelReader:
    """Where the findings of a label table are; in the release's own tables at many places each."""

    columns: Mapping[str, int]
    places: Mapping[str, tuple[int, ...]]

    @property
    def findings(self) -> set[str]:
        """The findings that the table says anything of."""
        return {*self.columns, *self.places}

    @classmethod
    def of(cls, table: Table) -> "LabelReader":
        """Look for the columns of a table.

        Raises:
            DatasetError: it has none.
        """
        by_finding: dict[str, list[int]] = {}
        for place, column in enumerate(table.columns):
            finding, star, _ = column.partition(PLACE_MARK)
            if star:
                by_finding.setdefault(finding.strip().lower(), []).append(place)
        if not by_finding:
            return cls(finding_columns(table), {})
        places = {
            finding: tuple(place for name in official for place in by_finding.get(name, []))
            for finding, official in OFFICIAL_FINDINGS.items()
        }
        if not any(places.values()):
            table.require(ABNORMALITIES, "any of the 18 findings, or of RAD-ChestCT's finding*place")
        return cls({}, {finding: found for finding, found in places.items() if found})

    def read(self, table: Table, row: Row) -> dict[str, bool]:
        """Return what a row says: present at one place is present, absent at all of them is absent."""
        labels = read_labels(table, row, self.columns)
        for finding, places in self.places.items():
            values = [presence(table, row, place) for place in places]
            if any(values):
                labels[finding] = True
            elif None not in values:
                labels[finding] = False
        return labels


def _name_of(path: Path) -> str | None:
    return rad_chestct_name(path.name) if path.suffix.lower() == ".npz" else None


def _split(name: str) -> str:
    return name[:3]


def _split_of(text: str) -> str | None:
    name = rad_chestct_name(text)
    return None if name is None else _split(name)


def _order(name: str) -> tuple[str, int]:
    return (_split(name), int(name[3:]))
