"""The columns that tables may have, by the names data sets and hospitals give them, and what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from encoders.reports import EMPTY_SECTION
from retrieval.acquisition import age_in_years, column_key, parse_date, parse_list, parse_number, parse_sex
from retrieval.cases import Acquisition, Report
from retrieval.datasets.tables import Row, Table, cell, other_cells

NAME = (
    "VolumeName",
    "NoteAcc_DEID",
    "volume",
    "name",
    "file",
    "FileName",
    "path",
    "FilePath",
    "image",
    "scan",
    "VolumeAcc_DEID",
    "id",
)
PATIENT = ("PatientID", "patient", "MRN_DEID", "MRN", "subject", "SubjectID")
PATIENT_NAME = ("PatientName", "PatientsName")
ACCESSION = ("AccessionNumber", "AccessionNo", "accession")
STUDY = ("StudyInstanceUID", "StudyUID", "StudyID", "study", *ACCESSION)
SERIES = ("SeriesInstanceUID", "SeriesUID", "series")
STUDY_DATE = ("StudyDate", "ExamDate", "date")
SPLIT = ("split", "subset", "Set_Assigned")
FINDINGS = ("Findings_EN", "findings", "report_text", "report", "text", "ReportText")
IMPRESSION = ("Impressions_EN", "impression", "impressions", "conclusion")
CLINICAL_INFORMATION = ("ClinicalInformation_EN", "clinical_information", "indication", "history")
TECHNIQUE = ("Technique_EN", "technique")
SEX = ("PatientSex", "sex", "gender")
AGE = ("PatientAge", "age")
MANUFACTURER = ("Manufacturer",)
MODEL = ("ManufacturerModelName", "model")
KERNEL = ("ConvolutionKernel", "kernel")
PIXEL_SPACING = ("XYSpacing", "PixelSpacing")
SLICE_SPACING = ("ZSpacing", "SpacingBetweenSlices", "SliceSpacing")
SLOPE = ("RescaleSlope", "slope")
INTERCEPT = ("RescaleIntercept", "intercept")
PLACE_MARK = "*"  # in label columns of RAD-ChestCT's release: finding*place
_ANY_METADATA = (*SEX, *AGE, *MANUFACTURER, *KERNEL, *PIXEL_SPACING, *SLICE_SPACING, *SLOPE)
_PRESENCE = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_UNKNOWN = frozenset({"", "nan", "na", "none", "-1", "-1.0"})  # -1: the labeller could not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataRow:
    """What a metadata table says of one volume."""

    acquisition: Acquisition = field(default_factory=Acquisition)
    rescale: tuple[float, float] | None = None  # (slope, intercept)
    spacing_mm: tuple[float, float, float] | None = None  # (x, y, z)
    study_date: date | None = None


def kinds_of(columns: tuple[str, ...]) -> frozenset[str]:
    """Return what a table with these columns can be: "reports", "labels", "metadata"; several, or none."""
    keys = {column_key(column) for column in columns}

    def has(names: tuple[str, ...]) -> bool:
        return any(column_key(name) in keys for name in names)

    kinds = set()
    if has((*FINDINGS, *IMPRESSION)):
        kinds.add("reports")
    if has(ABNORMALITIES) or any(PLACE_MARK in column for column in columns):
        kinds.add("labels")
    if has(_ANY_METADATA):
        kinds.add("metadata")
    return frozenset(kinds)


def read_report(table: Table, row: Row, name: str) -> Report:
    """Return the report of a row; "Not given." counts as empty.

    Raises:
        DatasetError: the table has neither findings nor an impression.
    """
    if table.find(FINDINGS) is None:
        table.require((*IMPRESSION, *FINDINGS), "the report")
    return Report(
        name=name,
        findings=_section(cell(row, table.find(FINDINGS))),
        impression=_section(cell(row, table.find(IMPRESSION))),
        clinical_information=_section(cell(row, table.find(CLINICAL_INFORMATION))),
        technique=_section(cell(row, table.find(TECHNIQUE))),
    )


def finding_columns(table: Table) -> dict[str, int]:
    """Return the place of the column of each of the 18 findings that the table has.

    Raises:
        DatasetError: it has none of them.
    """
    places = {finding: table.find((finding,)) for finding in ABNORMALITIES}
    found = {finding: place for finding, place in places.items() if place is not None}
    if not found:
        table.require(ABNORMALITIES, "any of the 18 findings")
    return found


def read_labels(table: Table, row: Row, places: Mapping[str, int]) -> dict[str, bool]:
    """Return which findings are present (1) or absent (0); an empty cell and -1 mean unknown.

    Raises:
        DatasetError: a cell holds anything else.
    """
    return {
        finding: present
        for finding, place in places.items()
        if (present := presence(table, row, place)) is not None
    }


def presence(table: Table, row: Row, place: int) -> bool | None:
    """Read one label.

    Raises:
        DatasetError: it is not 0, 1, -1 or empty.
    """
    value = row.cells[place].lower()
    if value in _UNKNOWN:
        return None
    if value not in _PRESENCE:
        raise DatasetError(
            f'{table.path} has "{row.cells[place][:20]}" on line {row.line} in column {table.columns[place]}:'
            " a label is 1, 0, or empty or -1 where it is not known"
        )
    return _PRESENCE[value]


def read_metadata(table: Table, row: Row, *, names: tuple[str, ...] = NAME) -> MetadataRow:
    """Return what a row says; columns without a field of their own are kept as text.

    Raises:
        ValueError: a spacing or rescale value is no number; its message is the end of a sentence.
    """
    places = {
        label: table.find(candidates)
        for label, candidates in {
            "name": names,
            "sex": SEX,
            "age": AGE,
            "manufacturer": MANUFACTURER,
            "model": MODEL,
            "kernel": KERNEL,
            "pixel": PIXEL_SPACING,
            "slice": SLICE_SPACING,
            "slope": SLOPE,
            "intercept": INTERCEPT,
            "date": STUDY_DATE,
        }.items()
    }
    text = {label: cell(row, place) for label, place in places.items()}
    pixel_mm = [_number("pixel spacing", one) for one in parse_list(text["pixel"])]
    slice_mm = _number("slice spacing", text["slice"]) if text["slice"] else None
    return MetadataRow(
        acquisition=Acquisition(
            sex=parse_sex(text["sex"]),
            age_years=age_in_years(text["age"]),
            manufacturer=text["manufacturer"] or None,
            model=text["model"] or None,
            kernel=" ".join(parse_list(text["kernel"])) or None,
            slice_mm=slice_mm,
            pixel_mm=pixel_mm[0] if pixel_mm else None,
            other=other_cells(table, row, set(places.values())),
        ),
        rescale=_rescale(text["slope"], text["intercept"]),
        spacing_mm=(pixel_mm[0], pixel_mm[-1], slice_mm) if pixel_mm and slice_mm else None,
        study_date=parse_date(text["date"]),
    )


def study_date(table: Table, row: Row) -> date | None:
    """Return the study date of a row, if the table has one."""
    return parse_date(cell(row, table.find(STUDY_DATE)))


def _section(text: str) -> str:
    return "" if text.rstrip(". ").lower() == EMPTY_SECTION else text


def _rescale(slope: str, intercept: str) -> tuple[float, float] | None:
    if not slope and not intercept:
        return None
    return (
        _number("rescale slope", slope) if slope else 1.0,
        _number("rescale intercept", intercept) if intercept else 0.0,
    )


def _number(what: str, text: str) -> float:
    try:
        return parse_number(text)
    except ValueError as error:
        raise ValueError(f'gives "{text[:20]}" as {what}, which is no number: correct the row') from error
