"""Lines appended to a file one by one, each flushed: a night's work outlives whatever ends the run."""

from pathlib import Path
from typing import IO

from encoders.errors import StorageError


class AppendedLines:
    """A file that is opened with its first line and closed with the last."""

    def __init__(self, path: Path, *, first: str = "", then: str) -> None:
        """Name the file.

        Args:
            path: where the lines go; made with the first.
            first: a line that stands before all others.
            then: what to do where the disk is full, as the error says it.
        """
        self.path = path
        self._first = f"{first}\n" if first else ""
        self._then = then
        self._stream: IO[str] | None = None

    def add(self, line: str) -> None:
        """Append a line; one that an earlier run was cut off in is ended before.

        Raises:
            StorageError: the disk is full, or may not be written to.
        """
        try:
            if self._stream is None:
                self._stream = self.path.open("a", encoding="utf-8")
                self._stream.write("\n" if self._stream.tell() else self._first)
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written ({error.strerror}): {self._then}") from error

    def close(self) -> None:
        """End; what was appended stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
