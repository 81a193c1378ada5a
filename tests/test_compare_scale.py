"""Millimetres on the compare page, measured in pixels of a real Chromium, where previews are drawn."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from retrieval.postgres_server import EmbeddedServer
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.viewed_archive import viewed_engine
from tests.web_app import served

LONG_MS = 120_000  # of a machine that does other work too
WINDOW = "1400,600"  # HU: the block is nearly white, what surrounds it nearly black
RIGHT_AND_DOWN = {"axial": ("left", "back"), "coronal": ("left", "up"), "sagittal": ("back", "up")}
MPR = {"axial": (0, 0, 0.58, 1), "coronal": (0.58, 0, 0.42, 0.5), "sagittal": (0.58, 0.5, 0.42, 0.5)}


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A drawn chest with a block of 1200 HU in the middle of one of 0 HU; triples are left, back, up."""

    voxels: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    begins: tuple[int, int, int]
    ends: tuple[int, int, int]

    def write(self, path: Path) -> None:
        left, back, up = self.voxels
        hu = as_xyz(chest_hu((up, left, back), noise=0))
        hu[tuple(slice(round(n * 0.3), round(n * 0.7)) for n in self.voxels)] = 0
        hu[tuple(slice(*ends) for ends in zip(self.begins, self.ends, strict=True))] = 1200
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, hu, self.spacing_mm)

    def size_mm(self, axis: str) -> float:
        at = AXES.index(axis)
        return (self.ends[at] - self.begins[at]) * self.spacing_mm[at]

    def aside_mm(self, axis: str) -> float:
        """From the middle of the volume to that of the block."""
        at = AXES.index(axis)
        return (self.begins[at] + self.ends[at] - self.voxels[at]) / 2 * self.spacing_mm[at]


AXES = ("left", "back", "up")
SCANS = {
    "query": Scan(voxels=(181, 173, 77), spacing_mm=(1.9, 2.1, 4.3), begins=(81, 76, 31), ends=(112, 97, 44)),
    "hit": Scan(voxels=(193, 97, 101), spacing_mm=(1.7, 3.1, 2.9), begins=(83, 43, 43), ends=(109, 59, 58)),
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The block on the screen: its middle from that of its tile, and its size, px."""

    across: float
    down: float
    width: float
    height: float

    def close_to(self, other: "Seen", *, place_px: float = 1.0) -> bool:
        """Within 1 % or a pixel, and its middle within so many pixels."""
        pairs = [(getattr(self, name), getattr(other, name), 1.0) for name in ("width", "height")]
        pairs += [(getattr(self, name), getattr(other, name), place_px) for name in ("across", "down")]
        return all(abs(one - two) <= max(least, 0.01 * abs(two)) for one, two, least in pairs)


@pytest.fixture(scope="module")
def page(
    server: EmbeddedServer, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("scans") / "archive"
    for role, scan in SCANS.items():
        scan.write(folder / f"{role}.nii.gz")
    with viewed_engine(server, "compare_scale", folder) as engine, served(engine) as address:
        # a pixel lies between the sides: both are of whole pixels
        opened = browser.new_page(viewport={"width": 1281, "height": 800})
        opened.goto(address)
        yield opened
        opened.close()


def look(page: Page, role: str, layout: str) -> None:
    """Open the page where one scan's block is, and wait until both faces of it are drawn."""
    origin = "/".join(page.url.split("/", 3)[:3])
    told = page.evaluate(
        "async (address) => (await fetch(address)).json()", f"/api/v1/geometry/folder/{role}"
    )
    scan = SCANS[role]
    places = []
    for axis, name in (("up", "slices"), ("back", "rows"), ("left", "columns")):
        middle = (scan.begins[AXES.index(axis)] + scan.ends[AXES.index(axis)] - 1) / 2
        places.append(f"{(middle - told['key'][name]) * told['spacing_mm'][name]:.1f}")
    view = f"plane={layout}&window={WINDOW}&at={','.join(places)}"
    page.goto(f"{origin}/compare?query=folder/query&hit=folder/hit&{view}")
    page.wait_for_selector('#compare[data-ready="true"]', timeout=LONG_MS)
    if layout != "mpr":
        page.wait_for_selector(f'[data-role="{role}"][data-sharp]', timeout=LONG_MS)


def scales(page: Page, role: str) -> list[float]:
    """Pixels a millimetre, as the rulers of a side say."""
    rulers = page.locator(f'[data-role="{role}"] .ruler').evaluate_all(
        "(all) => all.map((one) => parseFloat(one.style.width) / parseFloat(one.textContent))"
    )
    return [float(one) for one in rulers]


def seen(
    page: Page, role: str, box: tuple[float, float, float, float], face: str, size_px: list[float]
) -> Seen:
    """Measure the block in a tile; `face` is what is left to see: voxels (of NiiVue) or slices (PNG)."""
    hide = "([what, hidden]) => document.querySelectorAll(what).forEach((one) => { one.hidden = hidden; })"
    unwanted = ".overlay, .stage .note" + (", .slices" if face == "voxels" else "")
    page.evaluate(hide, [unwanted, True])
    picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L")).astype(float)
    page.evaluate(hide, [unwanted, False])
    stage = page.locator(f'[data-role="{role}"] .stage').bounding_box()
    assert stage is not None
    left, top = stage["x"] + box[0] * stage["width"], stage["y"] + box[1] * stage["height"]
    width, height = box[2] * stage["width"], box[3] * stage["height"]
    tile = picture[round(top) : round(top + height), round(left) : round(left + width)]
    rows, columns = np.nonzero(tile > 128)
    # bones are bright too: the block is what most of them are near to, in the middle of the tile
    middle = [round(float(np.median(one))) for one in (columns, rows)]
    across, wide = extent(tile[middle[1] - 3 : middle[1] + 4].mean(axis=0), middle[0], size_px[0])
    down, high = extent(tile[:, middle[0] - 3 : middle[0] + 4].mean(axis=1), middle[1], size_px[1])
    return Seen(
        across=across + round(left) - left - width / 2,
        down=down + round(top) - top - height / 2,
        width=wide,
        height=high,
    )


def extent(profile: np.ndarray, near: int, size_px: float) -> tuple[float, float]:
    """The middle and the length of a bright stretch, from its sum: blurred edges do not change that."""
    reach = round(size_px / 2 + 22)
    line = profile[near - reach : near + reach + 1]
    ground = float(np.median(np.r_[line[:5], line[-5:]]))
    bright = (line - ground) / (float(np.median(line[reach - 5 : reach + 6])) - ground)
    places = np.arange(near - reach, near + reach + 1) + 0.5
    return float((bright * places).sum() / bright.sum()), float(bright.sum())


def expected(scan: Scan, plane: str, scale: float) -> Seen:
    right, down = RIGHT_AND_DOWN[plane]
    downwards = 1 if down == "back" else -1
    return Seen(
        across=scan.aside_mm(right) * scale,
        down=scan.aside_mm(down) * scale * downwards,
        width=scan.size_mm(right) * scale,
        height=scan.size_mm(down) * scale,
    )


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("role", ["query", "hit"])
def test_a_millimetre_is_as_long_along_both_axes_and_where_the_full_slice_has_it(
    page: Page, role: str, plane: str
) -> None:
    look(page, role, plane)
    [scale], [other] = scales(page, "query"), scales(page, "hit")
    assert scale == pytest.approx(other, rel=1e-3)
    wanted = expected(SCANS[role], plane, scale)
    drawn, full = (
        seen(page, role, (0, 0, 1, 1), face, [wanted.width, wanted.height]) for face in ("voxels", "slices")
    )
    assert full.close_to(wanted), (full, wanted)
    assert drawn.close_to(wanted), (drawn, wanted)


@pytest.mark.parametrize("role", ["query", "hit"])
def test_three_planes_at_once_keep_their_scales(page: Page, role: str) -> None:
    look(page, role, "mpr")
    for (plane, box), scale in zip(MPR.items(), scales(page, role), strict=True):
        wanted = expected(SCANS[role], plane, scale)
        drawn = seen(page, role, box, "voxels", [wanted.width, wanted.height])
        assert drawn.close_to(wanted, place_px=1.5), (plane, drawn, wanted)  # tiles begin at whole pixels
