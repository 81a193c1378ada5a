"""The compare page in a real Chromium: both volumes the right way round, scrolled together in mm."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import Engine

from retrieval.postgres_server import EmbeddedServer
from tests.axe import violations
from tests.browser import chromium, keep
from tests.viewed_archive import viewed_engine, write_marked
from tests.web_app import client_of, served

LONG_MS = 120_000  # of a machine that does other work too
COMPLAINTS = ("error", "warning")
WHITE = 235  # of 255: the mark in the bone window, and nothing else


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three marked scans, the mark of the second four slices further up."""
    made = tmp_path_factory.mktemp("scans") / "archive"
    write_marked(made / "asked.nii.gz")
    write_marked(made / "found.nii.gz", up=4)
    write_marked(made / "lost.nii.gz", up=2)
    return made


@pytest.fixture(scope="module")
def address(server: EmbeddedServer, folder: Path) -> Iterator[str]:
    with viewed_engine(server, "compare_page", folder) as engine, served(engine) as start:
        yield start


@pytest.fixture(scope="module")
def context(address: str, browser: Browser) -> Iterator[BrowserContext]:
    """Somebody who is signed in."""
    opened = browser.new_context(viewport={"width": 1280, "height": 800})
    first = opened.new_page()
    first.goto(address)
    first.close()
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page; a script's error or a complaint of the browser fails the test."""
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    opened.on("console", lambda said: complaints.append(said.text) if said.type in COMPLAINTS else None)
    yield opened
    opened.close()
    assert complaints == []


def compare(page: Page, address: str, more: str = "", hit: str = "found") -> None:
    """Open the page with both volumes ready."""
    page.goto(f"{origin(address)}/compare?query=folder/asked&hit=folder/{hit}{more}")
    page.wait_for_selector('#compare[data-ready="true"]', timeout=LONG_MS)


def origin(address: str) -> str:
    return address.split("/?", maxsplit=1)[0]


def told(page: Page, what: str) -> tuple[str, str]:
    """What the question's side and the hit's say of themselves."""
    asked, found = (
        page.locator(f'[data-role="{role}"]').get_attribute(f"data-{what}") for role in ("query", "hit")
    )
    return asked or "", found or ""


def stage(page: Page, role: str) -> np.ndarray:
    """What is seen of a volume, grey; without the letters and the ruler above it."""
    hide = "(hidden) => document.querySelectorAll('.overlay').forEach((one) => { one.hidden = hidden; })"
    page.evaluate(hide, True)
    picture = Image.open(io.BytesIO(page.locator(f'[data-role="{role}"] .stage').screenshot())).convert("L")
    page.evaluate(hide, False)
    return np.asarray(picture)


def mark(seen: np.ndarray) -> tuple[float, float]:
    """Where the mark lies, 0 left or top to 1 right or bottom."""
    rows, columns = np.nonzero(seen[2:-2, 2:-2] >= WHITE)
    assert columns.size, "no mark is seen"
    return float(columns.mean() / seen.shape[1]), float(rows.mean() / seen.shape[0])


def has_mark(seen: np.ndarray) -> bool:
    return bool((seen[2:-2, 2:-2] >= WHITE).any())


def wait_for(page: Page, role: str, what: str, value: str) -> None:
    page.wait_for_selector(f'[data-role="{role}"][data-{what}="{value}"]')


def test_both_volumes_are_drawn_the_right_way_round_and_scrolled_together(page: Page, address: str) -> None:
    compare(page, address, "&window=bone")
    assert told(page, "face") == ("volume", "volume")
    assert page.locator('[data-role="query"] .edge').all_text_contents() == ["R", "L", "A", "P"]
    across, down = mark(stage(page, "query"))
    assert 0.7 < across < 0.9  # the patient's left is on the right
    assert 0.4 < down < 0.5  # and the front is up
    assert not has_mark(stage(page, "hit"))
    keep(page, "compare-axial")

    before = told(page, "mm")
    page.locator('[data-role="query"] .stage').hover()
    for _ in range(4):
        page.mouse.wheel(0, -100)
    wait_for(page, "query", "mm", "20.00")
    assert (before, told(page, "mm")) == (("0.00", "0.00"), ("20.00", "20.00"))  # four slices of 5 mm up
    assert not has_mark(stage(page, "query"))
    assert mark(stage(page, "hit")) == pytest.approx((across, down), abs=0.02)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageDown")
    assert told(page, "mm") == ("-35.00", "-35.00")
    page.keyboard.press("Home")

    for _ in range(4):
        page.keyboard.press("]")
    assert told(page, "mm") == ("0.00", "20.00")
    assert page.locator(".offset-now").text_content() == "+20 mm"
    assert mark(stage(page, "query")) == pytest.approx(mark(stage(page, "hit")), abs=0.02)
    page.locator('[data-role="hit"] .stage').hover()
    page.mouse.wheel(0, 100)
    wait_for(page, "hit", "mm", "15.00")
    assert told(page, "mm") == ("-5.00", "15.00")
    page.wait_for_url(lambda now: "z=20" in now and "at=-5" in now)


def test_keys_choose_windows_whose_values_and_pixels_are_shown(page: Page, address: str) -> None:
    compare(page, address)
    tissue = {}
    for key, values in (("1", "1500 / −600 HU"), ("2", "350 / 50 HU"), ("3", "1800 / 400 HU")):
        page.keyboard.press(key)
        assert page.locator(".window-now").text_content() == values
        seen = stage(page, "query")
        tissue[key] = float(np.median(seen[int(seen.shape[0] * 0.25), int(seen.shape[1] * 0.4) :][:60]))
    # about 40 HU: (40 + 1350) / 1500, (40 + 125) / 350 and (40 + 500) / 1800 of 255
    assert tissue == pytest.approx({"1": 236, "2": 120, "3": 76}, abs=8)
    page.keyboard.press("?")
    assert page.locator("dialog#keys").is_visible()
    keep(page, "compare-keys")


def test_other_planes_are_hung_as_usual_and_all_three_meet_at_a_click(page: Page, address: str) -> None:
    compare(page, address, "&window=bone&plane=coronal&at=0,-18,0")
    across, down = mark(stage(page, "query"))
    assert across > 0.65
    assert told(page, "window") == ("1800,400", "1800,400")
    assert mark(stage(page, "hit"))[1] < down - 0.02  # 20 mm further up is further up
    keep(page, "compare-coronal")
    page.keyboard.press("s")
    assert page.locator('[data-role="query"] .edge').all_text_contents() == ["A", "P", "S", "I"]
    page.keyboard.press("m")
    assert page.locator('[data-role="query"] .edge').count() == 12
    seen = stage(page, "query")
    axial = seen[:, : int(seen.shape[1] * 0.58)]
    across, down = mark(axial)
    page.locator('[data-role="query"] .stage').click(
        position={"x": across * axial.shape[1], "y": down * axial.shape[0]}
    )
    coronal = stage(page, "query")[: seen.shape[0] // 2, int(seen.shape[1] * 0.58) :]
    assert mark(coronal)[0] > 0.5
    keep(page, "compare-mpr")


def test_where_webgl_is_missing_slices_are_shown_with_the_same_keys(page: Page, address: str) -> None:
    plain = page.context.browser.browser_type.launch(
        executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]
    )
    bare = plain.new_page(viewport={"width": 1280, "height": 800})
    bare.goto(address)
    compare(bare, address, "&window=bone&z=20")
    assert bare.locator("#compare").get_attribute("data-renderer") == "none"
    assert told(bare, "face") == ("slices", "slices")
    for role, index in (("query", 19), ("hit", 23)):
        wait_for(bare, role, "sharp", f"{index}@1800,400")
    across, down = mark(stage(bare, "query"))
    assert across > 0.7
    assert mark(stage(bare, "hit")) == pytest.approx((across, down), abs=0.02)
    keep(bare, "compare-slices")
    bare.keyboard.press("ArrowUp")
    bare.keyboard.press("2")
    assert told(bare, "mm") == ("5.00", "25.00")
    for role, index in (("query", 20), ("hit", 24)):
        wait_for(bare, role, "sharp", f"{index}@350,50")
    bare.keyboard.press("m")
    bare.wait_for_selector('[data-role="hit"] .frame:nth-child(3) img')
    keep(bare, "compare-slices-mpr")
    plain.close()


def test_it_fills_a_wide_screen_at_one_scale(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 2560, "height": 1440})
    page = context.new_page()
    page.goto(address)
    compare(page, address)
    widths = page.locator(".ruler").evaluate_all("(all) => all.map((one) => one.style.width)")
    assert len(set(widths)) == 1
    keep(page, "compare-2560")
    context.close()


def test_a_volume_that_is_out_of_reach_is_said_and_the_other_is_shown(
    context: BrowserContext, address: str, folder: Path
) -> None:
    (folder / "lost.nii.gz").unlink()
    opened = context.new_page()  # its console says 409, as it should
    compare(opened, address, hit="lost")
    assert "out of reach" in str(opened.locator('[data-role="hit"] .note').text_content())
    assert told(opened, "face")[0] == "volume"
    keep(opened, "compare-out-of-reach")
    opened.close()


def test_the_other_hits_of_a_search_are_a_key_away(page: Page, address: str) -> None:
    compare(page, address, "&search=case%3Dasked%26exclude%3Dnone&z=5")
    page.wait_for_selector(".others:not([hidden])")
    rank = page.locator(".rank-now").text_content()
    assert rank in ("hit 2 of 3", "hit 3 of 3")  # the volume asked with is the first
    page.keyboard.press("p")
    page.wait_for_url(lambda now: "hit=folder%2Ffound" not in now and "z=" not in now)


def test_nothing_on_it_keeps_people_from_using_it(page: Page, address: str) -> None:
    compare(page, address)
    assert violations(page) == []
    page.keyboard.press("?")
    assert violations(page) == []


def test_a_comparison_of_nothing_or_of_what_is_not_there_is_a_page_that_says_so(engine: Engine) -> None:
    client = client_of(engine)
    for question in ("", "?hit=folder", "?hit=folder/<script>", "?query=a/b&hit=c/d"):
        answer = client.get(f"/compare{question}")
        assert answer.status_code == 404
        assert "<script>" not in answer.text.split("</head>")[1]
