"""A real Chromium for tests of the page: Debian's, headless, WebGL in software; screenshots are kept."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

SCREENSHOTS = Path(__file__).resolve().parents[1] / "build" / "screenshots"
_ARGUMENTS = (
    "--no-sandbox",  # CI is root
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def chromium() -> str:
    """Return the browser's path; without one the test is skipped, in CI it fails."""
    found = os.environ.get("CTSEARCH_CHROMIUM") or shutil.which("chromium")
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "needs chromium: apt-get install chromium, or name it with CTSEARCH_CHROMIUM"
        )
    return found


@pytest.fixture(scope="module")  # not the session: its event loop would be in the way of other modules'
def browser() -> Iterator[Browser]:
    """A browser for the tests of a module."""
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of 1280 by 800; a script's error or a request to anywhere else fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(f"script: {error}"))
    opened.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith(("http://127.0.0.1:", "blob:", "data:"))
            else troubles.append(f"request to {asked.url}")
        ),
    )
    yield opened
    context.close()
    assert troubles == []


def keep(page: Page, name: str) -> None:
    """Keep a screenshot under build/screenshots, which CI keeps."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
