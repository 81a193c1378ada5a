"""What looking at a volume costs, in CPU time: `python -m tests.benchmarks.viewing`."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from isal import igzip
from rich.console import Console

from retrieval.hounsfield_reading import read_hounsfield
from retrieval.hu_nifti import Grid, coarse_slice, map_voxels, write_nifti
from retrieval.slice_pictures import PLANES, draw_slice
from retrieval.windows import LUNG
from tests.synthetic_ct import chest_hu
from tests.synthetic_ct import write_nifti as write_scan

_SLICES = 40
_WRITE = "import sys; from tests.benchmarks.viewing import write; write(sys.argv[1])"


def write(path: str) -> None:
    """Write a drawn chest of 512 × 512 × 300 noisy voxels, 1 × 0.7 × 0.7 mm."""
    coarse = chest_hu((75, 128, 128), noise=0)
    hu_SLP = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    hu_SLP += np.random.default_rng(0).normal(0, 12, hu_SLP.shape).astype(np.int16)
    write_scan(Path(path), np.ascontiguousarray(hu_SLP.transpose(1, 2, 0)), spacing_mm=(0.7, 0.7, 1.0))


def main() -> None:
    """Print what each step costs."""
    from retrieval.questions import volume_file

    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        scan, kept = Path(folder) / "scan.nii.gz", Path(folder) / "voxels.nii"
        subprocess.run([sys.executable, "-c", _WRITE, str(scan)], check=True)
        console.print(f"512 × 512 × 300 voxels, {scan.stat().st_size / 1e6:.0f} MB")
        console.print(f"bare decompression: {_cpu_s(lambda: _decompress(scan)):.2f} s")
        grids: list[Grid] = []
        console.print(f"first opening: {_cpu_s(lambda: grids.append(_open(volume_file(scan), kept))):.2f} s")
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        console.print(f"memory at most: {peak_mb:.0f} MB")
        for plane in PLANES:
            each = [_cpu_s(partial(_draw, kept, grids[0], plane, 120 + i)) for i in range(_SLICES)]
            console.print(
                f"{plane} slice: {1000 * np.median(each):.0f} ms, p95 {1000 * np.percentile(each, 95):.0f}"
            )
        for edge in (96, 256):
            console.print(f"preview of {edge}: {_cpu_s(partial(_shrink, kept, grids[0], edge)):.2f} s")


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _decompress(path: Path) -> None:
    with igzip.open(path) as stream:
        while stream.read(1 << 20):
            pass


def _open(file, kept: Path) -> Grid:
    read = read_hounsfield(file, "auto")
    with kept.open("wb") as stream:
        write_nifti(stream, read.grid, read.slice_at)
    return read.grid


def _draw(kept: Path, grid: Grid, plane, index: int) -> bytes:
    return draw_slice(map_voxels(kept, grid.shape), grid, plane, index, LUNG)


def _shrink(kept: Path, grid: Grid, edge: int) -> None:
    voxels_SPL, coarser = map_voxels(kept, grid.shape), grid.coarser(edge)
    with igzip.open(kept.with_suffix(".gz"), "wb", compresslevel=1) as stream:
        write_nifti(stream, coarser, lambda index: coarse_slice(voxels_SPL, coarser.shape, index))


if __name__ == "__main__":
    main()
