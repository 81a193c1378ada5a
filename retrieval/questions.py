"""Questions from what somebody has in hand: a CT, a report in a file, a sentence, a case of the archive."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy.engine import Connection

from encoders.errors import ReportError, SearchError
from encoders.reports import ReportSections
from retrieval.answers import Question
from retrieval.cases import Report, VolumeFile
from retrieval.filters import LabelSource
from retrieval.hits import present_labels
from retrieval.named_cases import StoredCase, cases_of_content, stored_latent
from retrieval.neighbours import Latent
from retrieval.records import CollectionInfo, storable
from retrieval.sources import volume_sources

if TYPE_CHECKING:
    from encoders.encoder import Encoder
    from retrieval.deidentify import PseudonymKey

LARGEST_REPORT_BYTES = 1 << 20
_HEADING = re.compile(
    r"^[ \t#*]*(findings|impressions?|conclusions?|opinion"
    r"|clinical information|clinical history|indication|technique)[ \t*]*:[ \t*]*",
    re.IGNORECASE | re.MULTILINE,
)
_SECTION_OF = {
    "findings": "findings",
    "impression": "impression",
    "impressions": "impression",
    "conclusion": "impression",
    "conclusions": "impression",
    "opinion": "impression",
    "clinical information": "clinical_information",
    "clinical history": "clinical_information",
    "indication": "clinical_information",
    "technique": "technique",
}


def from_case(
    connection: Connection,
    collection: CollectionInfo,
    case: StoredCase,
    source: LabelSource | None,
    key: "PseudonymKey | None" = None,
) -> Question:
    """Ask with the stored latent of a case; nothing is encoded.

    Args:
        connection: to the archive.
        collection: whose latent.
        case: a volume or a study.
        source: whose labels count; None: the first that speaks.
        key: opens the path that the voxels lie under, if it is sealed.

    Raises:
        SearchError: the collection has no latent of it.
    """
    found = stored_latent(connection, collection.id, collection.name, case)
    labels = present_labels(connection, [case.study_id], source).get(case.study_id, ())
    asked = {
        "kind": "case",
        "dataset": case.dataset,
        "volume": case.volume,
        "study": case.study,
        "latent_of": found.item,
    }
    if found.kind == "volume":
        where = volume_sources(connection, [found.item_id], key)
        asked["source"] = where[found.item_id].uri if where else None
    return Question(
        asked=asked,
        kind=found.kind,
        latent=found.latent,
        origins=(case,),
        labels=labels,
        words=", ".join(labels) if found.kind == "volume" else "",
    )


def from_volume(
    connection: Connection, encoder: "Encoder", path: Path, source: LabelSource | None
) -> tuple[Question, tuple[str, ...]]:
    """Ask with a CT file or a folder of one DICOM series; returns warnings about it too.

    A file whose bytes the archive holds is that case: it brings the case's labels, and may be excluded as it.

    Raises:
        VolumeError: it cannot be read as a CT in Hounsfield units.
    """
    from retrieval.reading import file_sha256

    latent, warnings = encode_volume(encoder, path)
    asked = {"kind": "volume", "volume": str(path)}
    return from_latent(connection, latent, file_sha256(volume_file(path)), source, asked), warnings


def from_latent(
    connection: Connection, latent: Latent, content: bytes, source: LabelSource | None, asked: dict[str, Any]
) -> Question:
    """Ask with the latent of a volume, which is every stored case of the same bytes.

    Args:
        connection: to the archive.
        latent: of the volume.
        content: digest of its bytes, file by file.
        source: whose labels count; None: the first that speaks.
        asked: how the question came.
    """
    origins = tuple(cases_of_content(connection, content))
    known = present_labels(connection, [case.study_id for case in origins], source)
    labels = next((known.get(case.study_id, ()) for case in origins), ())
    return Question(
        asked={**asked, "stored_as": [case.volume for case in origins]},
        kind="volume",
        latent=latent,
        origins=origins,
        labels=labels,
        words=", ".join(labels),
    )


def encode_volume(encoder: "Encoder", path: Path) -> tuple[Latent, tuple[str, ...]]:
    """Return the latent (L,) of a CT file or of a folder with one DICOM series, and warnings about it.

    Raises:
        VolumeError: it cannot be read as a CT in Hounsfield units.
    """
    from encoders.volumes import prepare_volume

    prepared = prepare_volume(path, grid=encoder.grid)
    latent: Latent = encoder.encode_volumes(prepared.volume_DHW[None, None]).numpy()[0]
    return _finite(latent, path.name), prepared.warnings


def volume_file(path: Path) -> VolumeFile:
    """Name the files that hold a volume, as an archive of the same files would.

    Raises:
        VolumeError: a folder holds no DICOM series.
    """
    from encoders.dicom import read_series
    from encoders.nrrd import nrrd_files

    if not path.is_dir():
        return VolumeFile(kind="nifti", uri=str(path), paths=nrrd_files(path))
    return VolumeFile(kind="dicom", uri=str(path), paths=read_series(path)[0].paths)


def from_text(encoder: "Encoder | None", text: str) -> Question:
    """Ask with a sentence or a few; without an encoder only what reports say is searched.

    Raises:
        SearchError: it is empty.
        ReportError: the encoder cannot read text.
    """
    if not text.strip():
        raise SearchError("the text is empty; describe a finding, as in --text 'bilateral pleural effusion'")
    text = storable(text)
    return Question(
        asked={"kind": "text", "text": text},
        kind="report",
        latent=None if encoder is None else _encode_text(encoder, text),
        words=text,
    )


def from_report(encoder: "Encoder | None", path: Path) -> Question:
    """Ask with a report in a text file; without an encoder only what reports say is searched.

    Raises:
        ReportError: the file cannot be read or says nothing, or the encoder cannot read text.
    """
    return _from_report(encoder, read_report(path), str(path))


def from_report_text(encoder: "Encoder | None", text: str) -> Question:
    """Ask with a report as text; see `from_report`.

    Raises:
        ReportError: it is too long or says nothing, or the encoder cannot read text.
    """
    if len(text.encode(errors="replace")) > LARGEST_REPORT_BYTES:
        raise ReportError("the report is longer than 1 MB: give one report in plain text")
    return _from_report(encoder, report_in(storable(text), "report"), storable(text))


def _from_report(encoder: "Encoder | None", report: Report, called: str) -> Question:
    sections = ReportSections(findings=report.findings, impression=report.impression)
    words = f"{report.impression}\n{report.findings}".strip()
    return Question(
        asked={"kind": "report", "report": called},
        kind="report",
        latent=None if encoder is None else _encode_text(encoder, sections),
        words=words,
        words_decide=False,
    )


def read_report(path: Path) -> Report:
    """Read a report from a text file, in UTF-8 or Latin-1.

    Headings ("Findings:", "Impression:") begin their sections. What stands before the first is findings where
    no heading says so, and left out (a letterhead) where one does.

    Raises:
        ReportError: the file cannot be read, is no text or larger than 1 MB, or says nothing.
    """
    return report_in(_decoded(path), path.name)


def report_in(text: str, name: str) -> Report:
    """Return the report that a text is; see `read_report`.

    Raises:
        ReportError: it says nothing.
    """
    sections: dict[str, str] = {}
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=False):
        section = _SECTION_OF[heading[1].lower()]
        body = text[heading.end() : end].strip()
        sections[section] = f"{sections.get(section, '')}\n{body}".strip()
    if "findings" not in sections:
        sections["findings"] = (text[: headings[0].start()] if headings else text).strip()
    report = Report(
        name=Path(name).stem,
        findings=sections["findings"],
        impression=sections.get("impression", ""),
        clinical_information=sections.get("clinical_information", ""),
        technique=sections.get("technique", ""),
    )
    if not ReportSections(findings=report.findings, impression=report.impression).text:
        raise ReportError(f"{name} has neither findings nor an impression; give a report with either")
    return report


def _decoded(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_REPORT_BYTES + 1)
    except OSError as error:
        raise ReportError(
            f"{path.name} cannot be read ({error.strerror}): give a text file with a report"
        ) from error
    if len(content) > LARGEST_REPORT_BYTES or b"\0" in content:
        raise ReportError(f"{path.name} is not one report in plain text: give a text file of at most 1 MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _encode_text(encoder: "Encoder", text: str | ReportSections) -> Latent:
    return _finite(np.asarray(encoder.encode_reports([text]).numpy()[0], np.float32), "the text")


def _finite(latent: Latent, of: str) -> Latent:
    if not np.isfinite(latent).all():
        raise SearchError(f"the latent of {of} is not finite: check the encoder's weights")
    return latent
