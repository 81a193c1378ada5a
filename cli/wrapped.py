"""Text in a terminal, broken between words as it comes; elsewhere as it is."""

import re
import shutil
from typing import TextIO


class WrappedText:
    """Writes pieces of a text, each as soon as it is there."""

    def __init__(self, stream: TextIO, columns: int | None = None) -> None:
        """Write to a stream; `columns` None is the terminal's width, or no limit where there is none."""
        if columns is None and stream.isatty():
            columns = shutil.get_terminal_size().columns
        self._stream, self._columns, self._at = stream, columns, 0

    def __call__(self, text: str) -> None:
        """Write a piece; it begins where the last one ended."""
        if self._columns is None:
            self._stream.write(text)
        else:
            for gap, word in re.findall(r"(\n|[^\S\n]*)(\S*)", text):
                self._write(gap, word, self._columns)
        self._stream.flush()

    def _write(self, gap: str, word: str, columns: int) -> None:
        if gap == "\n" or (self._at and self._at + len(gap) + len(word) > columns):
            gap, self._at = "\n", -1
        self._at += len(gap) + len(word)
        self._stream.write(gap + word)
