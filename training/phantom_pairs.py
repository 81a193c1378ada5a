"""Phantoms as pairs to learn from: drawn once into a file, then read in every epoch."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from encoders.config import VolumeGrid
from encoders.errors import StorageError
from encoders.reports import ReportSections
from encoders.volumes import grid_from_hounsfield
from retrieval.datasets.phantom.patients import patient_scans
from retrieval.datasets.phantom.report import WrittenReport, write_report
from retrieval.datasets.phantom.scan import HashedScan, PhantomScan, Reconstruction
from training.data import Pair, short_text

_FARTHEST_SHIFT = 1  # voxels along each axis, so that no patient is learnt by where it lies


def training_scan(seed: int, index: int) -> tuple[PhantomScan, Reconstruction]:
    """One scan and one of its reconstructions of patient `index + 1`; which ones, the seed decides."""
    rng = np.random.default_rng([seed, index])
    scans = patient_scans(seed, index + 1)
    scan = scans[int(rng.integers(len(scans)))]
    return scan, scan.reconstructions[int(rng.integers(len(scan.reconstructions)))]


def drawn_on_grid(index: int, *, seed: int, grid: VolumeGrid) -> NDArray[np.int16]:
    """The voxels of a training scan on the encoder's grid, as thousandths of its unit (HU)."""
    scan, reconstruction = training_scan(seed, index)
    frame = scan.frame()
    hu = HashedScan(f"{seed}/{index}", scan).voxels(frame, reconstruction)
    return np.rint(1000 * grid_from_hounsfield(hu, frame.spacing_mm, grid)).astype(np.int16)


@dataclass(frozen=True)
class PhantomPairs:
    """Pairs of phantoms whose voxels are in a file.

    Attributes:
        seed: of the cohort.
        voxels: (N, D, H, W) int16, thousandths of the encoder's unit.
        reports, labels: of each, N of them.
    """

    seed: int
    voxels: NDArray[np.int16]
    reports: tuple[WrittenReport, ...]
    labels: tuple[dict[str, bool], ...]

    def __len__(self) -> int:
        return len(self.reports)

    def pair(self, index: int, epoch: int) -> Pair:
        """One pair; its short text and a shift of at most a voxel differ from epoch to epoch."""
        rng = np.random.default_rng([self.seed, epoch, index])
        written, labels = self.reports[index], self.labels[index]
        shift = tuple(int(s) for s in rng.integers(-_FARTHEST_SHIFT, _FARTHEST_SHIFT + 1, 3))
        return Pair(
            volume_DHW=np.roll(self.voxels[index], shift, (0, 1, 2)).astype(np.float32) / 1000,
            report=ReportSections(findings=written.findings, impression=written.impression),
            short=short_text(written.statements, labels, rng),
            labels=np.array([labels[name] for name in ABNORMALITIES]),
        )


@contextmanager
def drawn_pairs(
    patients: int, seed: int, grid: VolumeGrid, *, workers: int = 1, folder: Path | None = None
) -> Iterator[PhantomPairs]:
    """Draw phantoms into a temporary file, about 0.9 MB each on the grid of phantom-tiny; it goes when done.

    Args:
        patients: how many.
        seed: of the cohort.
        grid: the encoder's.
        workers: processes that draw.
        folder: where the file goes; default: the system's for temporary files.

    Raises:
        StorageError: there is no room for it.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="ctsearch-phantoms-") as drawn:
        voxels = _draw_all(Path(drawn) / "voxels.npy", patients, seed, grid, workers)
        scans = [training_scan(seed, index)[0] for index in range(patients)]
        reports = tuple(write_report(scan) for scan in scans)
        yield PhantomPairs(seed, voxels, reports, tuple(scan.labels for scan in scans))


def _draw_all(path: Path, patients: int, seed: int, grid: VolumeGrid, workers: int) -> NDArray[np.int16]:
    draw = partial(drawn_on_grid, seed=seed, grid=grid)
    try:
        voxels = np.lib.format.open_memmap(path, "w+", np.int16, (patients, *grid.shape))
        with ProcessPoolExecutor(max(workers, 1)) as pool:
            for index, volume in enumerate(pool.map(draw, range(patients), chunksize=16)):
                voxels[index] = volume
    except OSError as error:
        raise StorageError(
            f"the phantoms cannot be written to {path.parent}: {error.strerror or error}; "
            "free space or set TMPDIR to a larger disk"
        ) from error
    return voxels
