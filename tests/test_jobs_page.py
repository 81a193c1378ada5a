"""The jobs page in a real browser: it follows a job by itself, says why one failed, and retries it."""

from pathlib import Path

from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from tests.browser import keep
from tests.forked_workers import Workers
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.web_app import client_of, served
from tests.web_jobs import bring, nifti_bytes, phantom_collection, served_folder

PATIENCE_MS = 90_000


def test_a_job_is_followed_to_its_end_and_what_failed_is_retried(
    engine: Engine,
    page: Page,
    workers: Workers,
    tmp_path: Path,
) -> None:
    phantom_collection(engine)
    folder = served_folder(tmp_path)
    with served(engine, served_folders=(str(folder.parent),)) as address:
        page.goto(address)
        page.goto(address.partition("?")[0] + "jobs")
        page.fill("#folder", str(folder))
        page.get_by_role("button", name="Index the folder").click()
        expect(page.locator("#job-1")).to_contain_text("Waiting", timeout=PATIENCE_MS)
        keep(page, "jobs-waiting")
        assert workers.wait(workers.start("--once")) == 0
        expect(page.locator("#job-1")).to_contain_text("2 indexed", timeout=PATIENCE_MS)  # nobody reloaded
        page.get_by_text("1 failed", exact=True).click()
        keep(page, "jobs-failures")
        write_nifti(folder / "broken.nii.gz", as_xyz(chest_hu(noise=9.0)))
        page.get_by_role("button", name="Retry what failed").click()
        expect(page.locator("#job-1")).to_contain_text("Waiting", timeout=PATIENCE_MS)
        bring(client_of(engine), nifti_bytes())
        assert workers.wait(workers.start("--once")) == 0
        expect(page.locator("#job-1")).to_contain_text("1 indexed", timeout=PATIENCE_MS)
        expect(page.locator("#job-2")).to_contain_text("Finished", timeout=PATIENCE_MS)
        keep(page, "jobs-finished")
