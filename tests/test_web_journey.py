"""What a radiologist does, in a real browser against the real processes: upload, hits, compare, ask, mark."""

import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import APIRequestContext, Browser, Page

from retrieval.cases import Case
from retrieval.postgres_server import EmbeddedServer
from tests.browser import keep
from tests.command import finish, start
from tests.conftest import TEMPLATE, address_of
from tests.journey import serving, write_archive, write_scan

PATIENTS = 10
ENCODED_S = 240  # with other tests on the same cores
REMEMBER_STEPS = """
document.addEventListener("DOMContentLoaded", () => {
  const step = document.querySelector("#upload .step");
  if (!step) return;
  const remember = () => {
    const said = JSON.parse(sessionStorage.getItem("said") ?? "[]");
    const bar = document.querySelector("#upload progress");
    sessionStorage.setItem("said", JSON.stringify([...said, [step.textContent, bar.position]]));
  };
  const all = { childList: true, subtree: true, attributes: true, characterData: true };
  new MutationObserver(remember).observe(step.parentNode, all);
});
"""
DROP = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name));
  const dropped = { dataTransfer: carried, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent("drop", dropped));
}"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Hospital:
    """An archive that is served, and what is in it."""

    address: str
    cases: list[Case]

    @property
    def server(self) -> str:
        return self.address.split("/?", maxsplit=1)[0]


@pytest.fixture(scope="module")
def hospital(
    browser: Browser,  # asked for first: without one nothing is set up
    server: EmbeddedServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Hospital]:
    """A folder indexed by the command, and a server with its worker."""
    folder, name = tmp_path_factory.mktemp("hospital"), f"journey_{os.getpid()}"
    with server.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    own = {"CTSEARCH_DATABASE": address_of(server, name), "CTSEARCH_HOME": str(folder / "home")}
    cases = write_archive(folder / "archive", PATIENTS)
    named = ("--collection", "chest", "--encoder", "phantom-tiny", "--anonymous", "--label-model", "rules")
    done = finish(start("index", folder / "archive", *named, **own))
    assert done.code == 0, done.err
    with serving({**os.environ, "OMP_NUM_THREADS": "1", **own}) as address:
        yield Hospital(address, cases)
    with server.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def said_by(page: Page) -> list[tuple[str, float]]:
    """What the page said of an upload, step by step, and how far its bar was (-1: not known)."""
    steps: list[tuple[str, float]] = []
    for text, position in json.loads(page.evaluate("sessionStorage.getItem('said') ?? '[]'")):
        if not steps or steps[-1] != (text, position):
            steps.append((text, position))
    return steps


def test_a_radiologist_finds_compares_asks_and_marks(page: Page, hospital: Hospital, tmp_path: Path) -> None:
    known = next(case for case in hospital.cases if case.labels.get("Pleural effusion"))
    brought = write_scan(tmp_path / "brought.nii.gz", known, louder_hu=2)
    page.add_init_script(REMEMBER_STEPS)
    page.goto(hospital.address)
    keep(page, "journey-1-start")
    page.evaluate(DROP, ["brought.nii.gz", base64.b64encode(brought.read_bytes()).decode()])

    page.wait_for_url("**/?*upload=*", timeout=ENCODED_S * 1000)
    page.wait_for_selector(".hit")
    steps = [text for text, _ in said_by(page)]
    assert any(step.startswith("Sending") for step in steps), steps
    assert len(set(steps)) >= 4, steps  # sending, waiting, what the encoder does, searching
    names = page.locator(".hit").evaluate_all("all => all.map((hit) => hit.dataset.study)")
    assert names[0] == known.study  # the same scan, two Hounsfield units brighter
    page.wait_for_function("document.querySelector('.hit img').naturalWidth > 0")
    keep(page, "journey-2-hits")

    hits = page.url
    page.locator(".hit .to-compare").first.click()
    page.wait_for_selector('#compare[data-ready="true"]', timeout=120_000)
    assert places(page) == [0, 0]
    page.keyboard.press("PageUp")
    up, other = places(page)
    assert up == other > 0
    page.keyboard.press("2")
    assert page.locator(".window-now").text_content() == "350 / 50 HU"
    keep(page, "journey-3-compare")

    page.goto(hits)
    page.locator("#question").fill("Is there a pleural effusion?")
    page.locator("#ask button").click()
    cited = page.locator("#talk a.cite").first
    cited.wait_for(timeout=60_000)
    page.wait_for_selector("#ask:not([aria-busy])")
    cited.click()
    page.wait_for_selector("#reader .cited")
    assert "effusion" in page.locator("#reader .cited").first.text_content().lower()
    keep(page, "journey-4-answer")

    relevant = page.locator('.hit [data-mark="true"]').first
    with page.expect_response("**/api/v1/feedback") as answered:
        relevant.click()
    assert answered.value.ok, answered.value.text()
    assert relevant.get_attribute("aria-pressed") == "true"
    qrels = page.request.get(f"{hospital.server}/api/v1/feedback/qrels").text().split()
    assert (qrels[2].split("/")[-1], qrels[3]) == (known.study, "1")
    page.reload()
    assert page.locator('.hit [data-mark="true"]').first.get_attribute("aria-pressed") == "true"
    keep(page, "journey-5-marked")


def places(page: Page) -> list[float]:
    """How far both volumes are from their key slices, mm."""
    sides = page.locator(".volume-panel")
    return [float(sides.nth(side).get_attribute("data-mm") or "nan") for side in (0, 1)]


def test_three_hundred_slices_show_progress_and_others_search_meanwhile(
    page: Page, hospital: Hospital, tmp_path: Path
) -> None:
    known = hospital.cases[0]
    brought = write_scan(tmp_path / "large.nii.gz", known, louder_hu=2, spacing_mm=(1.0, 2.5, 2.5))
    page.add_init_script(REMEMBER_STEPS)
    page.goto(hospital.address)
    search(page.request, hospital)  # the encoder is loaded
    page.set_input_files("#pick-files", brought)
    seconds: list[float] = []
    until = time.monotonic() + ENCODED_S
    while "upload=" not in page.url and time.monotonic() < until:
        seconds.append(search(page.request, hospital))
        page.wait_for_timeout(50)  # lets the page's own events through
    page.wait_for_selector(".hit")
    steps = said_by(page)
    assert len(seconds) >= 2, steps
    assert len(set(steps)) >= 5, steps
    assert page.locator(".hit").first.get_attribute("data-study") == known.study
    sys.stdout.write(f"{len(seconds)} searches meanwhile, slowest {max(seconds):.2f} s; steps: {steps}\n")


def search(client: APIRequestContext, hospital: Hospital) -> float:
    """Search in words as another client; the seconds that the answer took."""
    begun = time.monotonic()
    answered = client.get(
        f"{hospital.server}/api/v1/search?text=pleural+effusion&k=5",
        headers={"Authorization": f"Bearer {hospital.address.partition('token=')[2]}"},
        timeout=60_000,
    )
    assert answered.ok, answered.text()
    assert answered.json()["hits"]
    return time.monotonic() - begun
