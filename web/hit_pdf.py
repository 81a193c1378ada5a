"""A result list as PDF, to print and to file (reportlab is imported here alone)."""

import io
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from encoders.errors import ConfigError
from retrieval.answers import Answer
from retrieval.hits import Hit

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Flowable

RESEARCH_USE = "Research use only: nothing here is a diagnosis."
_FONT, _BOLD = "ctsearch", "ctsearch-bold"
_WIDE_FONTS = Path("/usr/share/fonts/truetype/dejavu")  # more scripts than reportlab's own font has
_THUMBNAIL_MM = 42
_LONGEST_NAME = 200
_LONGEST_SECTION = 4000  # characters of a section that are printed
_SHOWN = {"sex": "", "age_years": " years", "manufacturer": "", "kernel": "", "slice_mm": " mm slices"}


def hits_as_pdf(answer: Answer, *, pictures: Mapping[int, bytes], asked_by: str, at: datetime) -> bytes:
    """Return a PDF with the hits of an answer, a picture beside each whose voxels were at hand.

    Characters that the font lacks are printed as question marks; the CSV has them.

    Args:
        answer: what is printed.
        pictures: PNG by rank.
        asked_by: the caller, for the foot of every page.
        at: when.

    Raises:
        ConfigError: reportlab is not installed.
    """
    try:
        from reportlab.lib.pagesizes import A4
        from reportlab.platypus import SimpleDocTemplate
    except ImportError as error:
        raise ConfigError(
            "PDF needs reportlab, which is not installed: pip install 'ctsearch[web]'"
        ) from error
    _register_fonts()
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        topMargin=48,
        bottomMargin=54,
        leftMargin=42,
        rightMargin=42,
        title="ctsearch: similar cases",
        author=_printable(asked_by),
        invariant=1,
    )
    foot = f"{RESEARCH_USE} {asked_by}, {at:%Y-%m-%d %H:%M} UTC"
    story = _head(answer)
    for hit in answer.hits:
        story += _hit(hit, pictures.get(hit.rank), document.width)

    def draw(canvas: "Canvas", page: Any) -> None:
        canvas.setFont(_FONT, 7.5)
        canvas.drawString(42, 30, _printable(foot))
        canvas.drawRightString(A4[0] - 42, 30, str(page.page))

    document.build(story, onFirstPage=draw, onLaterPages=draw)
    return out.getvalue()


def _head(answer: Answer) -> list["Flowable"]:
    kind = answer.query["kind"]
    asked = {"case": "latent_of", "upload": "name"}.get(kind, kind)
    lines = [
        _paragraph("Similar past cases", size=14, bold=True),
        _paragraph(f"{kind}: {str(answer.query[asked])[:_LONGEST_SECTION]}", size=10),
        _paragraph(
            f"collection {answer.collection}; {len(answer.hits)} hits; "
            f"{'exact' if answer.exact else 'approximate'}; filters {answer.query['filters'] or 'none'}",
            size=8,
        ),
    ]
    return lines if answer.hits else [*lines, _paragraph("No case matches.", size=10)]


def _hit(hit: Hit, picture: bytes | None, width: float) -> list["Flowable"]:
    """Picture and facts side by side; below them what may be long, which runs on to the next page."""
    from reportlab.lib.units import mm
    from reportlab.platypus import Table

    facts = [
        _paragraph(
            f"{hit.rank}. {hit.metadata['dataset']}/{hit.study}"[:_LONGEST_NAME], size=10.5, bold=True
        ),
        _paragraph(f"score {hit.score:.3f}   {_who(hit)}", size=8),
        _paragraph(f"findings: {', '.join(hit.labels) or 'none known'}", size=8),
    ]
    for name, labels in (("shared", hit.shared_labels), ("differs, lacks", hit.missing_labels)):
        facts += [_paragraph(f"{name}: {', '.join(labels)}", size=8)] if labels else []
    column = _THUMBNAIL_MM * mm
    table = Table([[_thumbnail(picture, column), facts]], colWidths=[column + 6, width - column - 6])
    table.setStyle(_STYLE)
    said = [_paragraph(f"“{_cut(sentence)}”", size=9) for sentence in hit.matched_sentences]
    for name, section in (("Findings", hit.findings), ("Impression", hit.impression)):
        said += [_paragraph(f"{name}: {_cut(section)}", size=8)] if section else []
    return [table, *said]


def _thumbnail(picture: bytes | None, width: float) -> "Flowable":
    from reportlab.lib.utils import ImageReader
    from reportlab.platypus import Image

    if picture is None:
        return _paragraph("voxels out of reach", size=7)
    wide, high = ImageReader(io.BytesIO(picture)).getSize()
    scale = width / max(wide, high)
    return Image(io.BytesIO(picture), width=wide * scale, height=high * scale)


_STYLE = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("TOPPADDING", (0, 0), (-1, -1), 10)]


def _who(hit: Hit) -> str:
    known = ((hit.metadata.get(name), unit) for name, unit in _SHOWN.items())
    return ", ".join(
        f"{value:g}{unit}" if isinstance(value, int | float) else f"{value}{unit}"
        for value, unit in known
        if value is not None
    )


def _cut(section: str) -> str:
    return section if len(section) <= _LONGEST_SECTION else f"{section[:_LONGEST_SECTION]} …"


def _paragraph(text: str, *, size: float, bold: bool = False) -> "Flowable":
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    font = _BOLD if bold else _FONT
    style = ParagraphStyle("said", fontName=font, fontSize=size, leading=size * 1.3, splitLongWords=1)
    return Paragraph(escape(_printable(text)), style)


@cache
def _register_fonts() -> frozenset[int]:
    """Register the fonts; returns the code points that both have."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    names = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
    wide = all((_WIDE_FONTS / name).is_file() for name in names)
    files = [str(_WIDE_FONTS / name) for name in names] if wide else ["Vera.ttf", "VeraBd.ttf"]
    fonts = [TTFont(name, file) for name, file in zip((_FONT, _BOLD), files, strict=True)]
    for font in fonts:
        pdfmetrics.registerFont(font)
    return frozenset.intersection(*(frozenset(font.face.charToGlyph) for font in fonts))


def _printable(text: str) -> str:
    known = _register_fonts()
    spaced = (" " if letter.isspace() else letter for letter in text)
    return "".join(letter if ord(letter) in known and letter.isprintable() else "?" for letter in spaced)
