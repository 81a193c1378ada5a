"""A query and its hits side by side, as a radiologist hangs them: lung window, the left side on the right."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from encoders.errors import StorageError
from retrieval.windows import LUNG

_LUNG_HU = (-950.0, -500.0)
_LUNG_GRID_MM = 3.0
_CHEST_WALL_MM = 8.0
_BODY_HU = -300.0
_AIR_HU = -1000.0

_TILE_PX = 300
_CORONAL_PX = 240
_CAPTION_PX = 104
_MARGIN_PX = 10
_FOOTER_PX = 28
_TILES_A_ROW = 4
_FIELD_MM = (320.0, 500.0)  # the smallest and the widest field of view shown
_BACKGROUND, _INK, _FAINT, _ACCENT = (17, 19, 23), (235, 236, 238), (150, 155, 163), (86, 156, 214)
_FOOTER = f"Research use only. Lung window {LUNG} HU; the patient's left is on the right; all at one scale."


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """What is shown of a volume, HU: an axial slice, posterior down, and a coronal one, superior up.

    The patient's left is on the right of both.
    """

    axial: NDArray[np.float32]
    coronal: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]  # towards Superior, Left and Posterior


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One case of the picture; where `slices` is None, `instead` is written into its frame."""

    title: str
    lines: tuple[str, ...] = ()
    slices: Slices | None = None
    instead: str = "voxels out of reach"


def take_slices(hu_SLP: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Slices:
    """Take the slices with half of the lung below them (axial) and in front of them (coronal).

    Args:
        hu_SLP: Hounsfield units, axes towards Superior, Left and Posterior.
        spacing_mm: along the same axes.
    """
    level, depth = key_position(hu_SLP, spacing_mm)
    return Slices(axial=hu_SLP[level].T.copy(), coronal=hu_SLP[::-1, :, depth].copy(), spacing_mm=spacing_mm)


def key_position(
    stored_SLP: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    to_hu: tuple[float, float] = (1.0, 0.0),
) -> tuple[int, int]:
    """Return the axial and the coronal index with half of the lung below and in front; else the middle.

    Args:
        stored_SLP: axes towards Superior, Left and Posterior; looked at every 3 mm.
        spacing_mm: along the same axes.
        to_hu: slope and intercept from stored values to Hounsfield units.
    """
    steps = tuple(max(1, int(_LUNG_GRID_MM / mm)) for mm in spacing_mm)
    sample = stored_SLP[tuple(slice(None, None, step) for step in steps)]
    coarse_hu = sample.astype(np.float32) * np.float32(to_hu[0]) + np.float32(to_hu[1])
    lung = _lung(coarse_hu, spacing_mm[2] * steps[2])
    level = _median_index(lung.sum(axis=(1, 2)), stored_SLP.shape[0])
    depth = _median_index(lung.sum(axis=(0, 1)), stored_SLP.shape[2])
    return level, depth


def draw_hits(query: Tile, hits: Sequence[Tile], path: Path) -> None:
    """Write a PNG with the query first and its hits after it, all at one scale.

    Raises:
        StorageError: the file cannot be written.
    """
    tiles = [query, *hits]
    field_mm = _field_of_view(tiles)
    columns = 3 if len(tiles) in (5, 6) else min(len(tiles), _TILES_A_ROW)
    rows = -(-len(tiles) // columns)
    cell = (_TILE_PX + _MARGIN_PX, _TILE_PX + _CORONAL_PX + _CAPTION_PX + _MARGIN_PX)
    canvas = Image.new(
        "RGB", (columns * cell[0] + _MARGIN_PX, rows * cell[1] + _MARGIN_PX + _FOOTER_PX), _BACKGROUND
    )
    for index, tile in enumerate(tiles):
        corner = (index % columns * cell[0] + _MARGIN_PX, index // columns * cell[1] + _MARGIN_PX)
        canvas.paste(_draw_tile(tile, field_mm, is_query=index == 0), corner)
    ImageDraw.Draw(canvas).text((_MARGIN_PX, canvas.height - _FOOTER_PX), _FOOTER, _FAINT, _font(13))
    try:
        canvas.save(path, format="PNG")
    except OSError as error:
        raise StorageError(f"the picture cannot be written to {path}: {error.strerror or error}") from error


def _lung(coarse_hu: NDArray[np.float32], depth_mm: float) -> NDArray[np.bool_]:
    """Find the lung: air's density with a chest wall before and behind it.

    The foam of a table has no such wall.
    """
    wall_mm = (coarse_hu > _BODY_HU) * np.float32(depth_mm)
    before, behind = wall_mm.cumsum(axis=2), wall_mm[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    lung: NDArray[np.bool_] = (coarse_hu > _LUNG_HU[0]) & (coarse_hu < _LUNG_HU[1])
    return lung & (before > _CHEST_WALL_MM) & (behind > _CHEST_WALL_MM)


def _median_index(area: NDArray[np.int64], length: int) -> int:
    """The index within `length` that has half of a coarser axis's area before it, else the middle."""
    total = area.sum()
    if not total:
        return length // 2
    return int((np.searchsorted(area.cumsum(), total / 2) + 0.5) * length / len(area))


def _field_of_view(tiles: Sequence[Tile]) -> float:
    """A width that holds every body, mm."""
    widths = [_body_width_mm(tile.slices) for tile in tiles if tile.slices is not None]
    return float(np.clip(max(widths, default=0.0) * 1.05, *_FIELD_MM))


def _body_width_mm(slices: Slices) -> float:
    columns = np.flatnonzero((slices.axial > _BODY_HU).any(axis=0))
    return float(columns[-1] - columns[0] + 1) * slices.spacing_mm[1] if columns.size else 0.0


def _draw_tile(tile: Tile, field_mm: float, *, is_query: bool) -> Image.Image:
    cell = Image.new("RGB", (_TILE_PX, _TILE_PX + _CORONAL_PX + _CAPTION_PX), _BACKGROUND)
    draw = ImageDraw.Draw(cell)
    if tile.slices is None:
        draw.rectangle((0, 0, _TILE_PX - 1, _TILE_PX + _CORONAL_PX - 1), outline=_FAINT)
        words = "\n".join(textwrap.wrap(_printable(tile.instead), 36)[:20])
        draw.multiline_text((12, 12), words, _FAINT, _font(14), spacing=6)
    else:
        slice_mm, left_mm, posterior_mm = tile.slices.spacing_mm
        mm_a_px = field_mm / _TILE_PX
        axial = _scaled(tile.slices.axial, (posterior_mm, left_mm), mm_a_px)
        coronal = _scaled(tile.slices.coronal, (slice_mm, left_mm), mm_a_px)
        cell.paste(_centred(axial, (_TILE_PX, _TILE_PX)), (0, 0))
        cell.paste(_centred(coronal, (_TILE_PX, _CORONAL_PX)), (0, _TILE_PX))
        draw.text((5, 4), "R", _FAINT, _font(13))
        draw.text((_TILE_PX - 14, 4), "L", _FAINT, _font(13))
    if is_query:
        draw.rectangle((0, 0, _TILE_PX - 1, _TILE_PX + _CORONAL_PX - 1), outline=_ACCENT, width=3)
    _write_caption(draw, tile, _ACCENT if is_query else _INK)
    return cell


def _scaled(view: NDArray[np.float32], spacing_mm: tuple[float, float], mm_a_px: float) -> Image.Image:
    """Bring the body in a slice, spacing (rows, columns), to square pixels of one scale."""
    columns = np.flatnonzero((view > _BODY_HU).any(axis=0))
    rows = np.flatnonzero((view > _BODY_HU).any(axis=1))
    if rows.size and columns.size:
        view = view[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = [max(1, round(n * mm / mm_a_px)) for n, mm in zip(view.shape, spacing_mm, strict=True)]
    return Image.fromarray(LUNG.grey(view)).resize((size[1], size[0]), Image.Resampling.BICUBIC)


def _centred(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    frame = Image.new("L", size, int(LUNG.grey(np.array(_AIR_HU, np.float32))))
    frame.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return frame


def _write_caption(draw: ImageDraw.ImageDraw, tile: Tile, colour: tuple[int, int, int]) -> None:
    top = _TILE_PX + _CORONAL_PX + 6
    draw.text((2, top), _fitting(tile.title, _font(16)), colour, _font(16))
    wrapped = [part for line in tile.lines for part in textwrap.wrap(_printable(line), 44)]
    for row, line in enumerate(wrapped[:4]):
        draw.text((2, top + 22 + row * 18), line, _FAINT if row else _INK, _font(13))


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = _printable(text)
    while len(text) > 1 and font.getlength(text) > _TILE_PX - 4:
        text = text[:-2] + "…"
    return text


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
