"""Which layout a source has, and the source itself."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import ConfigError, DatasetError
from retrieval.datasets.columns import ACCESSION, NAME
from retrieval.datasets.ct_rate import ct_rate_name, is_ct_rate_volume, open_ct_rate
from retrieval.datasets.dicom_archive import open_dicom
from retrieval.datasets.files import Listing, existing_folder, list_files
from retrieval.datasets.folder import has_dicom, open_folder
from retrieval.datasets.found_tables import table_paths
from retrieval.datasets.joined import KINDS
from retrieval.datasets.phantom import parse_source, phantom_cohort
from retrieval.datasets.rad_chestct import NAME_COLUMNS, open_rad_chestct, rad_chestct_name
from retrieval.datasets.source import DatasetName, Source, SourceFormat, Tables
from retrieval.datasets.tables import cell, read_table
from retrieval.deidentify import PseudonymKey
from retrieval.volume_names import volume_kind

_PHANTOM = re.compile(r"\d+(:\d+)?")
_CHOICES = "ct-rate, rad-chestct, folder, dicom or phantom"
_TITLES: dict[DatasetName, str] = {
    "ct-rate": "CT-RATE",
    "rad-chestct": "RAD-ChestCT",
    "folder": "a plain folder of volumes",
    "dicom": "a folder of DICOM",
    "phantom": "a phantom cohort",
}


def open_source(
    source: str,
    *,
    format: SourceFormat = "auto",  # noqa: A002 - the command's option is called so
    tables: Tables | None = None,
    anonymous: bool = False,
    key: PseudonymKey | None = None,
) -> Source:
    """Open a folder or a phantom cohort as a source of cases.

    CT-RATE, RAD-ChestCT and phantoms are anonymous by declaration of their makers. Anything else is
    de-identified unless `anonymous` declares it so: names become pseudonyms, texts and headers are cleared.

    Args:
        source: a folder; for phantoms, N or N:SEED.
        format: the layout; "auto" looks at names and headers, and the first warning says what it took.
        tables: report, label and metadata tables; those not given are looked for.
        anonymous: the source was de-identified before.
        key: makes the pseudonyms.

    Raises:
        DatasetError: the layout cannot be told, or is not what it is said to be.
        ConfigError: there is something to de-identify and no key.
    """
    tables = tables or Tables()
    if format == "phantom" or (format == "auto" and _PHANTOM.fullmatch(source) and not Path(source).exists()):
        return _phantoms(source)
    folder = existing_folder(Path(source))
    listing = None if format == "dicom" else list_files(folder)
    decided: tuple[str, ...] = ()
    if listing is not None and format == "auto":
        chosen, why = detect(listing, tables)
        decided = (
            f"{folder} was read as {_TITLES[chosen]} because {why}; --format says otherwise if need be",
        )
    else:
        chosen = "folder" if format == "auto" else format
    if chosen == "ct-rate" and listing is not None:
        return open_ct_rate(listing, tables, decided)
    if chosen == "rad-chestct" and listing is not None:
        return open_rad_chestct(listing, tables, decided)
    if not anonymous and key is None:
        raise ConfigError("a source that is not anonymous needs the archive's pseudonym key")
    maker = None if anonymous else key
    if chosen == "folder" and listing is not None:
        return open_folder(listing, tables, key=maker, decided=decided)
    return open_dicom(folder, tables, key=maker, decided=decided)


@dataclass(frozen=True, slots=True)
class _Seen:
    """How many files speak for which layout."""

    ct_rate: int
    rad_chestct: int
    other_volumes: int
    dicom: bool

    def __str__(self) -> str:
        parts = [
            f"{self.ct_rate} volumes named as CT-RATE's" * bool(self.ct_rate),
            f"{self.rad_chestct} volumes named as RAD-ChestCT's" * bool(self.rad_chestct),
            f"{self.other_volumes} {'other ' * bool(self.ct_rate or self.rad_chestct)}volume files"
            * bool(self.other_volumes),
            "DICOM files" * self.dicom,
        ]
        return " and ".join(part for part in parts if part)


def detect(listing: Listing, tables: Tables) -> tuple[DatasetName, str]:
    """Tell a folder's layout by the names of most of its volumes, or of its tables' rows where it has none.

    Returns:
        The layout, and what speaks for it, as the end of a sentence.

    Raises:
        DatasetError: nothing speaks for any, or different things for several.
    """
    seen = _look(listing)
    strays = seen.other_volumes
    match (seen.ct_rate > strays, seen.rad_chestct > strays, bool(strays), seen.dicom):
        case (True, False, _, False) if not seen.rad_chestct:
            return "ct-rate", f"most of what it holds, {seen}, is named so"
        case (False, True, _, False) if not seen.ct_rate:
            return "rad-chestct", f"most of what it holds, {seen}, is named so"
        case (False, False, True, _) if strays > max(seen.ct_rate, seen.rad_chestct):
            return "folder", f"it holds {seen}"
        case (False, False, False, True):
            return "dicom", f"it holds {seen} and no other volumes"
        case (False, False, False, False):
            return _detect_by_tables(listing, tables)
    raise DatasetError(
        f"{listing.folder} holds {seen}: say how to read it with --format {_CHOICES}, or give a folder in it"
    )


def _look(listing: Listing) -> _Seen:
    names = [path.name for path in listing.volumes]
    ct_rate = sum(is_ct_rate_volume(name) for name in names if volume_kind(name) == "nifti")
    rad_chestct = sum(
        rad_chestct_name(name) is not None for name in names if volume_kind(name) == "rad_chestct"
    )
    voxels = sum(volume_kind(name) in ("nifti", "nrrd") for name in names)
    return _Seen(ct_rate, rad_chestct, voxels - ct_rate, has_dicom(listing))


_NAMED: tuple[tuple[DatasetName, tuple[str, ...], Callable[[str], object]], ...] = (
    ("ct-rate", (*NAME, *ACCESSION), ct_rate_name),
    ("rad-chestct", NAME_COLUMNS, rad_chestct_name),
)


def _detect_by_tables(listing: Listing, tables: Tables) -> tuple[DatasetName, str]:
    given = [path for kind in KINDS if (path := getattr(tables, kind)) is not None]
    named: Counter[DatasetName] = Counter()
    for path in given or table_paths(listing.folder, beside=False):
        table = read_table(path)
        for dataset, names, name_of in _NAMED:
            place = table.find(names)
            if place is not None and any(name_of(cell(row, place)) for row in table.rows):
                named[dataset] += 1
    if len(named) == 1:
        dataset = next(iter(named))
        return dataset, f"it holds no volumes, and tables that name those of {_TITLES[dataset]}"
    if given and not named:
        return "folder", "it holds no volumes, and the tables given name none of a known data set"
    found = "tables of several data sets" if named else "no volume and no table that names any"
    raise DatasetError(
        f"{listing.folder} holds {found}: give another folder, or say with --format {_CHOICES}"
    )


def _phantoms(source: str) -> Source:
    scans, seed = parse_source(source)
    return Source(
        dataset="phantom",
        anonymous=True,
        count=scans,
        entries=lambda _removed, _warnings: phantom_cohort(scans, seed),
        warnings=(f"{scans} phantoms of seed {seed} are drawn: synthetic scans, no patients",),
    )
