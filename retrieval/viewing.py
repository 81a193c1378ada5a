"""Volumes of the archive to look at: slices, previews and whole files, from what is kept of them.

A volume's file is read once, slowly, into Hounsfield units that are kept under the home; every look after
that reads what it shows. Few files are read at a time, and one that several ask for is read once.
"""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

from isal import igzip
from sqlalchemy import Engine

from encoders.errors import StorageError, UnknownNameError
from retrieval.hounsfield_reading import read_hounsfield
from retrieval.hu_nifti import (
    Grid,
    Voxels,
    coarse_slice,
    map_voxels,
    write_nifti,
)
from retrieval.kept_views import KeptViews
from retrieval.sessions import one_state
from retrieval.voxel_sources import VoxelSource, is_still_there, unchanged_file, voxel_source

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

FORMAT = 2  # raise it with any change to what is kept: what was kept before is then made again
PREVIEW_EDGE = 96
LARGEST_EDGE = 256
_READ_AT_A_TIME = 2
_MOST_WAITING = 64


class BusyError(StorageError):
    """More volumes wait to be read than this machine will get to soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVolume:
    """A volume that can be looked at."""

    source: VoxelSource
    path: Path  # NIfTI in Hounsfield units, of all voxels
    grid: Grid  # its key is the axial, coronal and sagittal slice to begin with
    warnings: tuple[str, ...]

    def voxels(self) -> Voxels:
        """Return the voxels (slices, rows, columns), towards Superior, Posterior and Left.

        Raises:
            StorageError: what was kept is gone meanwhile.
        """
        try:
            return map_voxels(self.path, self.grid.shape)
        except (OSError, ValueError) as error:
            raise StorageError(f"what was kept of {self.source.name} is gone: ask once more") from error


class VolumeViews:
    """Opens volumes of one archive; share one, so that few files are read at a time."""

    def __init__(self, engine: Engine, kept: KeptViews, *, key: Callable[[], "PseudonymKey | None"]) -> None:
        self._engine = engine
        self._kept = kept
        self._key = key
        self._readers = ThreadPoolExecutor(_READ_AT_A_TIME, thread_name_prefix="reads volumes")
        self._lock = Lock()
        self._running: dict[tuple[bytes, str], Future[Path]] = {}

    def source(self, dataset: str, volume: str) -> VoxelSource:
        """Return where a volume's voxels are.

        Raises:
            UnknownNameError: there is no such volume.
            OutOfReachError: its voxels cannot be shown from here.
        """
        with one_state(self._engine) as connection:
            return voxel_source(connection, dataset, volume, self._key())

    def find(self, source: VoxelSource) -> OpenVolume | None:
        """Return a volume if it was opened before, without reading its file."""
        facts, voxels = self._named(source, "grid.json"), self._named(source, "voxels.nii")
        described, path = self._kept.find(source.content, facts), self._kept.find(source.content, voxels)
        if described is None or path is None:
            return None
        try:
            said = json.loads(described.read_text())
        except (OSError, ValueError):
            return None
        return OpenVolume(
            source=source,
            path=path,
            grid=Grid(**{name: tuple(value) for name, value in said["grid"].items()}),
            warnings=tuple(said["warnings"]),
        )

    def open(self, source: VoxelSource) -> "Future[Path]":
        """Begin to read a volume's file; afterwards `find` has it.

        The result raises VolumeError or OutOfReachError where the file cannot be read.

        Raises:
            BusyError: too much waits to be read already.
        """
        return self._submitted(source, "voxels", partial(self._read, source))

    def preview(self, opened: OpenVolume, edge: int = PREVIEW_EDGE) -> "Future[Path]":
        """Begin to make, or find, a gzipped NIfTI of at most `edge` voxels along each axis.

        Raises:
            BusyError: too much waits to be read already.
        """
        name = self._named(opened.source, f"preview-{edge}.nii.gz")
        path = self._kept.find(opened.source.content, name)
        if path is not None:
            done: Future[Path] = Future()
            done.set_result(path)
            return done
        return self._submitted(opened.source, name, partial(self._shrink, opened, edge, name))

    def _submitted(self, source: VoxelSource, what: str, work: Callable[[], Path]) -> "Future[Path]":
        wanted = (source.content, what)
        with self._lock:
            running = self._running.get(wanted)
            if running is not None:
                return running
            if len(self._running) >= _MOST_WAITING:
                raise BusyError(f"{len(self._running)} volumes wait to be read: ask again in a minute")
            future = self._running[wanted] = self._readers.submit(work)
        future.add_done_callback(lambda _: self._ended(wanted))
        return future

    def _ended(self, wanted: tuple[bytes, str]) -> None:
        with self._lock:
            self._running.pop(wanted, None)

    def _read(self, source: VoxelSource) -> Path:
        path = self._kept.find(source.content, self._named(source, "voxels.nii"))
        if path is not None and self._kept.find(source.content, self._named(source, "grid.json")):
            return path
        read = read_hounsfield(unchanged_file(source), source.rule)
        facts = json.dumps({"grid": asdict(read.grid), "warnings": read.warnings}).encode()
        self._kept.keep(source.content, self._named(source, "grid.json"), lambda stream: _put(stream, facts))
        path = self._kept.keep(
            source.content,
            self._named(source, "voxels.nii"),
            lambda stream: write_nifti(stream, read.grid, read.slice_at),
        )
        self._check_still_there(source)
        return path

    def _shrink(self, opened: OpenVolume, edge: int, name: str) -> Path:
        voxels_SPL = opened.voxels()
        coarser = opened.grid.coarser(edge)

        def write(stream: IO[bytes]) -> None:
            with igzip.IGzipFile(fileobj=stream, mode="wb", compresslevel=1, mtime=0) as packed:
                write_nifti(packed, coarser, partial(coarse_slice, voxels_SPL, coarser.shape))

        path = self._kept.keep(opened.source.content, name, write)
        self._check_still_there(opened.source)
        return path

    def _check_still_there(self, source: VoxelSource) -> None:
        """Keep nothing of a volume that was removed while it was read.

        Raises:
            UnknownNameError: it was.
        """
        with one_state(self._engine) as connection:
            is_there = is_still_there(connection, source)
        if not is_there:
            self._kept.forget([source.content])
            raise UnknownNameError(f"there is no such volume as {source.name}: it was removed meanwhile")

    @staticmethod
    def _named(source: VoxelSource, what: str) -> str:
        return f"{FORMAT}-{source.rule}-{what}"


def _put(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)
