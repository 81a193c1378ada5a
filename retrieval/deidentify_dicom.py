"""DICOM headers keep how a CT was made, and sex and age; all else stays outside: an allow-list."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from retrieval.acquisition import age_in_years, column_key, parse_date, parse_sex
from retrieval.cases import Acquisition
from retrieval.deidentify_text import KnownIdentity, scrub_text

OLDEST_AGE = 90.0  # years; from here on ages are pooled (HIPAA safe harbour)

TECHNIQUE_CODES = (
    "BodyPartExamined",
    "ExposureModulationType",
    "FilterType",
    "ImageType",
    "PatientPosition",
    "RescaleType",
    "RotationDirection",
    "ScanOptions",
)
TECHNIQUE_NUMBERS = (
    "CTDIvol",
    "Columns",
    "DataCollectionDiameter",
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
    "Exposure",
    "ExposureTime",
    "FocalSpots",
    "GantryDetectorTilt",
    "GeneratorPower",
    "KVP",
    "ReconstructionDiameter",
    "RevolutionTime",
    "Rows",
    "SingleCollimationWidth",
    "SliceThickness",
    "SpiralPitchFactor",
    "TableFeedPerRotation",
    "TableHeight",
    "TableSpeed",
    "TotalCollimationWidth",
    "XRayTubeCurrent",
)
_DEVICE_TEXT = re.compile(
    r"[\w .,/()+-]{1,64}"
)  # manufacturer, model, kernel: what a device writes, no prose
_CODE_TEXT = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5: the code string
_CODED_WORD = re.compile(r"[A-Za-z]{1,2}\d{1,2}[a-z]?|\d{1,3}(?:mm|cm|kv|mas|s)?")  # Br40f, S3, 5mm
_DESCRIBES_TECHNIQUE = frozenset(
    re.findall(
        r"\w+",
        """
        abdomen angio arterial axial bone bones bronchi chest cm contrast cor coronal ct cta dose
        enhanced expiration expiratory fov helical helix high hires hr hrct idose inspiration
        inspiratory iodine iv kernel kv ld ldct low lung lungs mas mediastinal mediastinum mip mm mpr
        native non noncontrast parankim parenchyma pe phase plain portal post pre prone pulmonary recon
        res resolution routine sag sagittal scan screening sharp sinus slice soft spiral standard std
        supine thick thin thoracic thorax tissue toraks tra transverse upper venous volume w with
        without wo
        """,
    )
)
_KEYWORD_OF = {
    column_key(keyword): keyword for keyword in (*TECHNIQUE_CODES, *TECHNIQUE_NUMBERS, "SeriesDescription")
}
_IDENTIFIER = re.compile(r"(?:ID|IDs|Number|UID|Sequence Number|Identifier)$")
_NOT_IDENTIFYING = {
    "SpecificCharacterSet",
    "SOPClassUID",
    "Modality",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
}
_KIND_OF_VALUE = {"PN": "name", "DA": "date", "DT": "date", "TM": "time", "UI": "UID", "AE": "identifier"}
_DEVICE_KEYWORDS = ("Manufacturer", "ManufacturerModelName", "ConvolutionKernel")
_FREE_TEXT = frozenset({"LO", "SH", "LT", "ST", "UT", "UC", "UR"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearedHeader:
    """What may be kept of a header, what was left behind of each kind, and who must not appear in texts."""

    acquisition: Acquisition
    removed: Counter[str]
    known: KnownIdentity


def clear_header(header: Dataset, *, is_anonymous: bool = False) -> ClearedHeader:
    """Return what the archive keeps of a CT header: sex, age, device, technique.

    Descriptions written by people are kept only if every word of them is about technique. Sex and age are
    kept as the Retain Patient Characteristics Option allows, ages from 90 on pooled; of the device, maker and
    model.

    Args:
        header: of one slice, without pixels.
        is_anonymous: it was declared so: ages are not pooled, nothing counts as removed.

    Source:
        DICOM PS3.15 annex E: Basic Profile, Retain Patient Characteristics, Retain Device Identity (in part),
        Clean Descriptors.
    """
    known = known_identity(header)
    age = _age(header)
    texts = {
        keyword: text
        for keyword in _DEVICE_KEYWORDS
        if (text := _device_text(header.get(keyword), known)) is not None
    }
    slices = _numbers(header.get("SpacingBetweenSlices") or header.get("SliceThickness"))
    spacing = _numbers(header.get("PixelSpacing"))
    acquisition = Acquisition(
        sex=parse_sex(str(header.get("PatientSex") or "")),
        age_years=age if age is None or is_anonymous else min(age, OLDEST_AGE),
        manufacturer=texts.get("Manufacturer"),
        model=texts.get("ManufacturerModelName"),
        kernel=texts.get("ConvolutionKernel"),
        slice_mm=slices[0] if slices else None,
        pixel_mm=spacing[0] if spacing else None,
        other=_technique(header, known, texts.get("ConvolutionKernel", "")),
    )
    removed = Counter() if is_anonymous else _left_behind(header, kept=set(acquisition.other))
    return ClearedHeader(acquisition=acquisition, removed=removed, known=known)


def clear_acquisition(acquisition: Acquisition, known: KnownIdentity) -> tuple[Acquisition, Counter[str]]:
    """Return what the archive keeps of an acquisition that a table gave, and what was left behind, by kind.

    The same rules as for headers: columns outside the allow-list are left behind, ages pooled from 90 on.
    """
    removed: Counter[str] = Counter()
    kept = {}
    for column, value in acquisition.other.items():
        keyword = _KEYWORD_OF.get(column_key(column))
        if keyword is not None and _is_technical(keyword, value, known):
            kept[keyword] = value
        else:
            removed["table column"] += 1
    written = (acquisition.manufacturer, acquisition.model, acquisition.kernel)
    manufacturer, model, kernel = (_device_text(text, known) for text in written)
    removed["free text"] += sum(
        text is not None and clear is None
        for text, clear in zip(written, (manufacturer, model, kernel), strict=True)
    )
    age = acquisition.age_years
    cleared = replace(
        acquisition,
        manufacturer=manufacturer,
        model=model,
        kernel=kernel,
        age_years=age if age is None else min(age, OLDEST_AGE),
        other=kept,
    )
    return cleared, +removed


def _is_technical(keyword: str, value: str, known: KnownIdentity) -> bool:
    if keyword == "SeriesDescription":
        return is_technique(value)
    if keyword in TECHNIQUE_NUMBERS:
        return bool(_numbers(value))
    return _CODE_TEXT.fullmatch(value) is not None and not scrub_text(value, known=known).removed


def known_identity(header: Dataset) -> KnownIdentity:
    """Return the people, numbers and places that a header names, to be looked for in the report."""
    people: list[str] = []
    identifiers: list[str] = []
    for element in _elements(header):
        if element.VR == "PN":
            people += _values(element)
        elif element.VR in _FREE_TEXT and _is_identifier(element):
            identifiers += _values(element)
    places = ("InstitutionName", "StationName", "InstitutionAddress")
    return KnownIdentity(
        people=tuple(dict.fromkeys(people)),
        identifiers=tuple(dict.fromkeys(identifiers)),
        institutions=tuple(str(header.get(place)) for place in places if header.get(place)),
    )


def is_technique(description: str, kernel: str = "") -> bool:
    """Whether every word of a series description is about how the scan was made: "Thorax 1,50 Br40 S3".

    Args:
        description: as the operator or the device wrote it.
        kernel: the series' own kernel, whose letters are no initials.
    """
    words = re.findall(r"[^\W_]+", description)
    technical = _DESCRIBES_TECHNIQUE | set(re.findall(r"[^\W_]+", kernel.lower()))
    return bool(words) and all(
        word.lower() in technical or _CODED_WORD.fullmatch(word) is not None for word in words
    )


def _age(header: Dataset) -> float | None:
    age = age_in_years(str(header.get("PatientAge") or ""))
    born = parse_date(str(header.get("PatientBirthDate") or ""))
    examined = parse_date(str(header.get("StudyDate") or ""))
    if age is not None or born is None or examined is None or born > examined:
        return age
    return float(_whole_years(born, examined))


def _whole_years(born: date, then: date) -> int:
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))


def _technique(header: Dataset, known: KnownIdentity, kernel: str) -> dict[str, str]:
    kept = {}
    for keyword in TECHNIQUE_CODES:
        codes = " ".join(value for value in _values_of(header, keyword) if _CODE_TEXT.fullmatch(value))
        if codes and not scrub_text(codes, known=known).removed:
            kept[keyword] = codes
    for keyword in TECHNIQUE_NUMBERS:
        numbers = [f"{number:g}" for number in _numbers(header.get(keyword))]
        if numbers:
            kept[keyword] = " ".join(numbers)
    description = str(header.get("SeriesDescription") or "").strip()
    if is_technique(description, kernel):
        kept["SeriesDescription"] = description
    if str(header.get("ContrastBolusAgent") or "none").strip().lower() not in {"none", "no", "n", ""}:
        kept["Contrast"] = "given"
    return kept


def _device_text(value: object, known: KnownIdentity) -> str | None:
    text = " ".join(str(part) for part in (value if isinstance(value, MultiValue) else [value or ""])).strip()
    if not _DEVICE_TEXT.fullmatch(text) or scrub_text(text, known=known).removed:
        return None
    return text


def _numbers(value: object) -> list[float]:
    parts = value if isinstance(value, MultiValue | list | tuple) else [value]
    try:
        return [float(str(part)) for part in parts if part not in (None, "")]
    except ValueError:
        return []


def _left_behind(header: Dataset, *, kept: set[str]) -> Counter[str]:
    """Count the values that could identify somebody, or are prose, by kind."""
    removed: Counter[str] = Counter()
    for element in _elements(header):
        if element.keyword in kept | _NOT_IDENTIFYING or not any(_values(element)):
            continue
        if element.tag.is_private:
            removed["private element"] += 1
        elif element.VR in _KIND_OF_VALUE:
            removed[_KIND_OF_VALUE[element.VR]] += 1
        elif element.VR in _FREE_TEXT and element.keyword not in _DEVICE_KEYWORDS:
            removed["identifier" if _is_identifier(element) else "free text"] += 1
    return removed


def _is_identifier(element: DataElement) -> bool:
    return _IDENTIFIER.search(element.name) is not None and not element.tag.is_private


def _elements(header: Dataset) -> Iterable[DataElement]:
    """Yield every element that holds a value, those within sequences too."""
    return (element for element in header.iterall() if element.VR != "SQ")


def _values(element: DataElement) -> list[str]:
    value = element.value
    parts = value if isinstance(value, MultiValue | list | tuple) else [value]
    return [text for part in parts if part is not None and (text := str(part).strip())]


def _values_of(header: Dataset, keyword: str) -> list[str]:
    return _values(header[keyword]) if keyword in header else []
