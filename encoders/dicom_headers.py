"""What one DICOM file says of its slices, or why it holds none; pixels stay on disk."""

import math
import stat
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

_SINGLE_FRAME = {CTImageStorage}
_MULTI_FRAME = {EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
_PREAMBLE = 128
_NOTHING = bytes(_PREAMBLE)
_START = 1024  # holds the preamble and the file's own description, transfer syntax included
_LONGEST_SIDE = 8192  # pixels; a header that claims more would have memory taken for nothing
_FIRST_GROUP = b"\x08\x00"  # files without a preamble start with group 0008, little endian
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "Modality",
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]

NOT_DICOM = "not a DICOM file"
DAMAGED = "its header is cut short or damaged"
# What pydicom lets through, beside OSError and KeyError, when bytes are not what they claim to be.
UNPARSABLE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    NotImplementedError,
    struct.error,
    OverflowError,
)

Verdict = Literal["slices", "passed over", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One CT slice: where it lies and which numbers turn it into HU (DICOM PS3.3 C.7.6.2, C.11.1)."""

    path: Path
    frame: int  # 0 in a file of one slice
    sop_uid: str
    rows: int
    columns: int
    pixel_mm: tuple[float, float]  # (between rows, between columns)
    position_mm: tuple[float, float, float]  # centre of the first pixel, x to the left, y to the back, z up
    orientation: tuple[float, ...]  # direction along a row, then along a column
    rescale: tuple[float, float]  # (slope, intercept)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderReading:
    """What a file turned out to be; `reason` says why there are no planes."""

    path: Path
    verdict: Verdict
    reason: str = ""
    patient: str = ""  # PatientID, or the name where that is empty
    study_uid: str = ""
    series_uid: str = ""
    planes: tuple[Plane, ...] = ()


def read_header(path: Path) -> HeaderReading:
    """Read one file's header, by content whatever it is called.

    Never raises for what a file holds: a file that is no DICOM, or no slice of a CT, is "passed over";
    a DICOM file that cannot be read or lacks what it must say is "unreadable".
    """
    try:
        start = _first_bytes(path)
        if not _looks_like_dicom(start, path):
            return HeaderReading(path=path, verdict="passed over", reason=NOT_DICOM)
        if DeflatedExplicitVRLittleEndian.encode() in start:  # would be inflated whole, whatever its size
            return _unreadable(path, "it is deflated as a whole, which is not supported")
        with quiet_pydicom():
            return _read(path)
    except KeyError as error:
        return _unreadable(path, f"its header lacks {_tag_name(error)}")
    except OSError as error:
        return _unreadable(path, error.strerror or DAMAGED)
    except UNPARSABLE:
        return _unreadable(path, DAMAGED)


def full_header(path: Path) -> FileDataset:
    """Read everything before the pixels of a file that `read_header` accepted."""
    with quiet_pydicom():
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning of what nobody asked for: private tags, values against the standard."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_bytes(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        return _NOTHING  # a pipe would be waited for
    with path.open("rb") as stream:
        return stream.read(_START)


def _looks_like_dicom(start: bytes, path: Path) -> bool:
    if not start:
        return path.suffix.lower() == ".dcm"  # an empty slice is a fault, any other empty file is nothing
    return start[_PREAMBLE : _PREAMBLE + 4] == b"DICM" or start[:2] == _FIRST_GROUP


def _read(path: Path) -> HeaderReading:
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
    why_not = _no_slice(header)
    if why_not:
        return HeaderReading(path=path, verdict="passed over", reason=why_not)
    return HeaderReading(
        path=path,
        verdict="slices",
        patient=str(header.get("PatientID") or header.get("PatientName") or ""),
        study_uid=str(header.get("StudyInstanceUID", "")),
        series_uid=str(header["SeriesInstanceUID"].value),
        planes=_planes(path, header),
    )


def _unreadable(path: Path, reason: str) -> HeaderReading:
    return HeaderReading(path=path, verdict="unreadable", reason=reason)


def _tag_name(error: KeyError) -> str:
    tag = error.args[0] if error.args else ""
    return pydicom.datadict.keyword_for_tag(tag) or str(tag)


def _no_slice(header: FileDataset) -> str | None:
    sop_class = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if not sop_class or (CTImageStorage.startswith(sop_class) and sop_class != CTImageStorage):
        raise EOFError("no SOPClassUID, or half of it")
    if sop_class not in _SINGLE_FRAME | _MULTI_FRAME:
        return f"not a CT image but {UID(sop_class).name}"
    if header.get("Modality", "CT") != "CT":
        return f"not CT but {header.Modality}"
    return _no_axial_image(header)


def _no_axial_image(header: FileDataset) -> str | None:
    kinds = _kinds(header.get("ImageType"))
    if "LOCALIZER" in kinds:
        return "a localiser"
    if "SCREEN SAVE" in kinds or header.get("SamplesPerPixel", 1) != 1:
        return "a screen capture"
    if "SECONDARY" in kinds and "ImagePositionPatient" not in header and "NumberOfFrames" not in header:
        return "a secondary image without a position"
    return None


def _kinds(image_type: object) -> set[str]:
    values = [image_type] if isinstance(image_type, str) else image_type
    return {str(value).strip().upper() for value in values} if isinstance(values, Sequence) else set()


def _planes(path: Path, header: FileDataset) -> tuple[Plane, ...]:
    if header["SOPClassUID"].value in _SINGLE_FRAME:
        return (_plane(path, 0, header, position=header, orientation=header, measures=header, values=header),)
    shared = header["SharedFunctionalGroupsSequence"].value[0]
    frames = header["PerFrameFunctionalGroupsSequence"].value
    return tuple(
        _plane(
            path,
            frame,
            header,
            position=_group("PlanePositionSequence", own, shared),
            orientation=_group("PlaneOrientationSequence", own, shared),
            measures=_group("PixelMeasuresSequence", own, shared),
            values=_group("PixelValueTransformationSequence", own, shared),
        )
        for frame, own in enumerate(frames)
        if "LOCALIZER" not in _kinds(_frame_type(own, shared))
    )


def _group(keyword: str, own: Dataset, shared: Dataset) -> Dataset:
    group = own if keyword in own else shared
    item: Dataset = group[keyword].value[0]
    return item


def _frame_type(own: Dataset, shared: Dataset) -> object:
    for group in (own, shared):
        if "CTImageFrameTypeSequence" in group:
            return group["CTImageFrameTypeSequence"].value[0].get("FrameType")
    return None


def _plane(
    path: Path,
    frame: int,
    header: Dataset,
    *,
    position: Dataset,
    orientation: Dataset,
    measures: Dataset,
    values: Dataset,
) -> Plane:
    x, y, z = _numbers(position["ImagePositionPatient"].value, 3)
    between_rows, between_columns = _numbers(measures["PixelSpacing"].value, 2)
    rows, columns = int(header["Rows"].value), int(header["Columns"].value)
    if not (0 < rows <= _LONGEST_SIDE and 0 < columns <= _LONGEST_SIDE):
        raise ValueError("an image of no size")
    slope, intercept = _numbers([values.get("RescaleSlope", 1), values.get("RescaleIntercept", 0)], 2)
    return Plane(
        path=path,
        frame=frame,
        sop_uid=str(header.get("SOPInstanceUID", "")),
        rows=rows,
        columns=columns,
        pixel_mm=(between_rows, between_columns),
        position_mm=(x, y, z),
        orientation=_numbers(orientation["ImageOrientationPatient"].value, 6),
        rescale=(slope, intercept),
    )


def _numbers(values: Sequence[object], count: int) -> tuple[float, ...]:
    numbers = tuple(float(str(value)) for value in values)
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{count} numbers expected")
    return numbers
