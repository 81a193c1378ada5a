"""What is kept of volumes so that they can be looked at quickly, and how it goes when a patient does.

Files are found by a digest of the volume's bytes alone, never by a name; each is whole or not there. The
folder may be deleted any time, and what has not been looked at for longest goes when there is too much.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from encoders.errors import StorageError
from retrieval.atomic_file import written_atomically
from retrieval.database_address import home
from retrieval.kept_by_content import folder_of, forget_contents

MOST_BYTES = 20 << 30
_UNFINISHED_S = 3600.0  # a file that nobody finished in an hour was left by a process that ended


def views_folder() -> Path:
    """Return where views of volumes are kept: beside the embedded database.

    Raises:
        StorageError: that folder cannot be made.
    """
    return home() / "previews"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptViews:
    """Files kept of volumes, by content.

    Attributes:
        folder: where; made when it is needed.
        most_bytes: of all together; what was looked at last stays.
    """

    folder: Path
    most_bytes: int = MOST_BYTES

    def find(self, content: bytes, name: str) -> Path | None:
        """Return a kept file, and note that it is looked at; None where it is not kept."""
        path = self._path(content, name)
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def keep(self, content: bytes, name: str, write: Callable[[IO[bytes]], None]) -> Path:
        """Write a file and return where it is.

        Raises:
            StorageError: it cannot be written.
        """
        path = self._path(content, name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"views of volumes cannot be kept in {self.folder} ({error.strerror}): make room, or set "
                "CTSEARCH_HOME to a folder that you may write to"
            ) from error
        with written_atomically(path) as stream:
            write(stream)
        self._make_room(path)
        return path

    def forget(self, contents: Iterable[bytes]) -> None:
        """Delete what is kept of volumes.

        Raises:
            StorageError: it cannot be deleted.
        """
        forget_contents(self.folder, contents, "views of volumes")

    def _path(self, content: bytes, name: str) -> Path:
        return folder_of(self.folder, content) / name

    def _make_room(self, newest: Path) -> None:
        found = sorted(self._files(), key=lambda file: file[1].st_mtime)
        total = sum(stat.st_size for _, stat in found)
        long_ago = time.time() - _UNFINISHED_S
        for path, stat in found:
            is_left = path.name.startswith(".")
            if path == newest or (is_left and stat.st_mtime > long_ago):
                continue
            if is_left or total > self.most_bytes:
                with suppress(OSError):
                    path.unlink()
                    total -= stat.st_size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for root, _, names in os.walk(self.folder):
            for name in names:
                path = Path(root) / name
                with suppress(OSError):
                    yield path, path.stat()


def forget_views(contents: Iterable[bytes]) -> None:
    """Delete what is kept of volumes, by contents as `retrieval.reading.shown_content` gives them.

    Raises:
        StorageError: it cannot be deleted.
    """
    KeptViews(folder=views_folder()).forget(contents)
