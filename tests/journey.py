"""A hospital's folder of scans and reports, a scan to bring along, `ctsearch serve` as its own process."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np

from retrieval.cases import Case
from retrieval.datasets.phantom import draw_volume, phantom_cohort

SEED = 8  # the built-in encoder saw none of its patients
_ADDRESS = re.compile(r"http://\S+\?token=\S+")


def write_archive(folder: Path, patients: int) -> list[Case]:
    """Write one phantom scan a patient as NIfTI, with a table of their reports."""
    folder.mkdir(parents=True)
    cases = list(phantom_cohort(patients, SEED))
    for case in cases:
        write_scan(folder / f"{case.study}.nii.gz", case)
    with (folder / "reports.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["VolumeName", "Findings_EN", "Impressions_EN"])
        table.writerows(
            [f"{case.study}.nii.gz", case.reports[0].findings, case.reports[0].impression] for case in cases
        )
    return cases


def write_scan(
    path: Path, case: Case, *, louder_hu: int = 0, spacing_mm: tuple[float, float, float] | None = None
) -> Path:
    """Write a case's first volume; `louder_hu` makes it another file of what looks the same."""
    hu_DHW, (slice_mm, row_mm, column_mm) = draw_volume(case.volumes[0].file.uri, spacing_mm)
    stored_xyz = np.ascontiguousarray(hu_DHW.transpose(1, 2, 0) + louder_hu).round().astype(np.int16)
    affine = np.diag([-row_mm, -column_mm, slice_mm, 1.0])  # indices run to Left, Posterior, Superior
    nib.save(nib.Nifti1Image(stored_xyz, affine), path)
    return path


@contextmanager
def serving(environment: Mapping[str, str], *options: str) -> Iterator[str]:
    """The address that `ctsearch serve` prints, its worker beside it; both end with the block."""
    server = subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", "0", *options],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in server.stdout:
            if found := _ADDRESS.search(line):
                yield found[0]
                break
        else:
            raise RuntimeError(f"the server ended with {server.wait()}")
    finally:
        server.terminate()
        server.stdout.close()
        server.wait(timeout=60)
