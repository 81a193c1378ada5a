"""The radiologist's page in a real browser: words, cases, reports, answers, marks; axe on every page."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from retrieval.postgres_server import EmbeddedServer
from tests.axe import violations
from tests.browser import SCREENSHOTS
from tests.phantom_desk import phantom_engine
from tests.web_app import served

LONG_MS = 120_000  # of a machine that does other work too
WIDTHS = {1280: 800, 2560: 1440}
Opened = tuple[Page, list[str]]


@pytest.fixture(scope="module")
def address(server: EmbeddedServer) -> Iterator[str]:
    with phantom_engine(server, "pages_in_browser") as engine, served(engine) as address:
        yield address


@pytest.fixture(scope="module")
def opened(address: str, browser: Browser) -> Iterator[Opened]:
    page, complaints = new_page(browser)
    page.goto(address)
    yield page, complaints
    page.close()


@pytest.fixture
def page(opened: Opened, address: str) -> Iterator[Page]:
    """The search page, signed in; nothing may be complained of while a test has it."""
    page, complaints = opened
    complaints.clear()
    go(page, address, "/")
    yield page
    assert complaints == []


def new_page(browser: Browser) -> Opened:
    """A page, and what its console complains of."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(LONG_MS)
    complaints: list[str] = []
    page.on(
        "console",
        lambda said: complaints.append(f"{said.text} {said.location}") if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like at both widths; nothing may scroll sideways."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} at {width}"
    page.set_viewport_size({"width": 1280, "height": 800})


def go(page: Page, address: str, path: str) -> None:
    parts = urlsplit(address)
    page.goto(f"{parts.scheme}://{parts.netloc}{path}")
    page.wait_for_load_state("networkidle")


def names(page: Page) -> list[str]:
    return page.locator(".hit h3 bdi").all_inner_texts()


def ask_in_words(page: Page, words: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    expect(page.locator("#hit-1")).to_be_visible(timeout=LONG_MS)


def test_words_then_a_filter_and_the_address_finds_the_same_again(page: Page) -> None:
    ask_in_words(page, "pleural effusion")
    before = names(page)
    page.evaluate("window.same = true")
    page.get_by_label("without Emphysema", exact=True).check()
    page.wait_for_url("**without_label=Emphysema**")
    expect(page.locator(".finding.set")).to_have_count(1)
    found = names(page)
    assert set(found) < set(before) or len(found) == 10
    assert page.evaluate("window.same"), "the page was loaded anew"
    page.reload()
    page.wait_for_load_state("networkidle")
    assert names(page) == found
    assert page.get_by_label("without Emphysema", exact=True).is_checked()
    picture(page, "search")


def test_keys_move_through_hits_mark_them_and_open_what_they_say(page: Page) -> None:
    ask_in_words(page, "lung nodule")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "hit-2"
    page.keyboard.press("k")
    with page.expect_response("**/api/v1/feedback"):
        page.keyboard.press("r")
    with page.expect_response("**/api/v1/feedback"):
        page.keyboard.press("j")
        page.keyboard.press("x")
    page.reload()
    page.wait_for_load_state("networkidle")
    pressed = [button.get_attribute("aria-pressed") for button in page.locator(".hit .mark").all()[:4]]
    assert pressed == ["true", "false", "false", "true"]
    with page.expect_response("**/api/v1/feedback"):
        page.locator("#hit-1 [data-mark=true]").click()
    assert page.locator("#hit-1 [data-mark=true]").get_attribute("aria-pressed") == "false"
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#hit-1").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?**")


def test_an_answer_cites_a_sentence_and_the_citation_leads_there(page: Page) -> None:
    ask_in_words(page, "lung nodule")
    page.keyboard.press("a")
    page.keyboard.type("Which of these have a nodule larger than 8 mm?")
    page.keyboard.press("Enter")
    cited = page.locator("a.cite").first
    expect(cited).to_be_visible(timeout=LONG_MS)
    study, section, number = str(cited.inner_text()).rsplit(" ", 2)
    cited.click()
    sentence = page.locator(".cited")
    expect(sentence).to_be_visible(timeout=LONG_MS)
    assert sentence.get_attribute("data-sentence") == f"{section}-{number}"
    assert page.locator("#reader-title").inner_text() == study
    assert "nodul" in sentence.inner_text().lower()
    picture(page, "answer")
    page.keyboard.press("Escape")
    expect(page.locator("#reader")).to_be_hidden()


def test_what_no_report_says_is_refused_plainly(page: Page) -> None:
    ask_in_words(page, "lung nodule")
    page.fill("#question", "What is the capital of France?")
    page.keyboard.press("Enter")
    expect(page.locator(".answer.refused")).to_contain_text("not in these cases", timeout=LONG_MS)


def test_a_case_leads_to_cases_like_it_without_a_finding(page: Page) -> None:
    ask_in_words(page, "lung nodule")
    name = names(page)[0]
    page.locator("#hit-1 .to-case").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator(".findings-table meter")).to_have_count(18, timeout=LONG_MS)
    picture(page, "case")
    page.get_by_role("link", name="More like this but without it (Lung nodule)").click()
    page.wait_for_url("**without_label=Lung**")
    expect(page.locator("#hit-1")).to_be_visible(timeout=LONG_MS)
    assert name not in names(page)
    assert not page.locator(".hit .compared dd:has-text('Lung nodule'):not(.missing)").count()


def test_more_hits_are_appended_and_going_back_takes_them_away(page: Page) -> None:
    ask_in_words(page, "no emphysema")
    assert len(names(page)) == 10
    page.locator("#more").click()
    expect(page.locator("#hit-11")).to_be_visible(timeout=LONG_MS)
    assert "k=20" in page.url
    page.go_back()
    expect(page.locator("#hit-11")).to_have_count(0, timeout=LONG_MS)
    expect(page.locator("#hit-10")).to_be_visible()


def test_a_list_is_given_out_as_a_table_and_as_pages(page: Page) -> None:
    ask_in_words(page, "lung nodule")
    with page.expect_download() as table:
        page.get_by_role("link", name="CSV").click()
    assert (
        table.value.path().read_bytes().startswith(b"\xef\xbb\xbf")
        or b"rank" in table.value.path().read_bytes()
    )
    with page.expect_download(timeout=LONG_MS) as pages:
        page.get_by_role("link", name="PDF").click()
    assert pages.value.path().read_bytes().startswith(b"%PDF")


def test_a_report_is_searched_by_and_stands_in_no_address(page: Page) -> None:
    page.get_by_text("Or by a whole report").click()
    page.fill(
        "#report-words", "Findings: A mild pleural effusion is seen on the right.\nImpression: Effusion."
    )
    page.get_by_role("button", name="Search by this report").click()
    expect(page.locator("#hit-1")).to_be_visible(timeout=LONG_MS)
    page.get_by_label("women").check()
    expect(page.locator("#sex-F")).to_be_checked()
    expect(page.locator(".facts:has-text('man ·'):not(:has-text('woman'))")).to_have_count(0, timeout=LONG_MS)
    assert page.locator(".hit").count()
    assert "effusion" not in page.url


def test_a_filter_that_leaves_nothing_is_named(page: Page, address: str) -> None:
    go(page, address, "/?text=nodule&age=1:2")
    link = page.get_by_role("link", name="without “age 1:2”")
    link.click()
    expect(page.locator("#hit-1")).to_be_visible(timeout=LONG_MS)
    assert "age" not in page.url


def test_the_map_is_drawn_and_its_keys_open_a_case(page: Page, address: str) -> None:
    go(page, address, "/map?finding=Lung+nodule")
    expect(page.locator("#map[data-drawn]")).to_be_visible(timeout=LONG_MS)
    picture(page, "map")
    listed = page.locator("#map-list a").all_inner_texts()
    assert listed
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    chosen = page.locator("#map-at").inner_text().split(",")[0]
    page.keyboard.press("Enter")
    page.wait_for_url("**/cases/phantom/**")
    assert page.get_by_role("heading", level=1).inner_text() == chosen


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?text=lung+nodule",
        "/?text=nodule&age=1:2",
        "/?text=nodule&label=Nonsense",
        "/cases/phantom/phantom_7_1_a",
        "/cases/phantom/nobody",
        "/map?finding=Lung+nodule",
        "/jobs",
        "/accounts",
    ],
)
def test_axe_finds_nothing(opened: Opened, address: str, path: str, theme: str) -> None:
    page, _ = opened
    go(page, address, path)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    assert violations(page) == []


@pytest.mark.parametrize("path", ["/", "/map", "/jobs"])
def test_axe_finds_nothing_in_an_empty_archive(engine: Engine, browser: Browser, path: str) -> None:
    page, complaints = new_page(browser)
    with served(engine) as address:
        page.goto(address)
        go(page, address, path)
        assert violations(page) == []
        assert complaints == []
        picture(page, f"empty{path.replace('/', '-')}")
        page.close()
