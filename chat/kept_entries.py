"""What a server has written for a set is kept as it comes: a night's work outlives whatever ends the run."""

import json
from collections.abc import Iterator
from pathlib import Path

from chat.appended_lines import AppendedLines
from chat.vqa import Entry, is_entry, read_entries
from encoders.errors import ConfigError

ENDING = ".part"


class KeptEntries:
    """Entries beside the set, a line each, until the set is whole."""

    def __init__(self, out: Path, *, go_on: bool) -> None:
        """Find what earlier runs left.

        Args:
            out: the set.
            go_on: keep what the server wrote for it, in the set and beside it.

        Raises:
            ConfigError: a run that was ended left something, and it is not said what to do with it.
            DatasetError: the set is there and is none.
        """
        self._path = out.with_name(out.name + ENDING)
        self._kept = AppendedLines(self._path, then="make room and go on with --go-on")
        if self._path.exists() and not go_on:
            raise ConfigError(
                f"{self._path} is left of a run that was ended: keep it with --go-on, or delete it"
            )
        found = [*read_entries(out)] if go_on and out.exists() else []
        found += _lines(self._path) if self._path.exists() else []
        entries = (Entry.from_json(one) for one in found)
        self.entries = tuple({entry.id: entry for entry in entries if entry is not None}.values())

    def add(self, entry: Entry) -> None:
        """Keep an entry.

        Raises:
            StorageError: the disk is full, or may not be written to.
        """
        self._kept.add(json.dumps(entry.to_json(), ensure_ascii=False))

    def close(self, *, whole: bool) -> None:
        """End; of a set that was written whole nothing is left beside it."""
        self._kept.close()
        if whole:
            self._path.unlink(missing_ok=True)


def _lines(path: Path) -> Iterator[dict[str, object]]:
    """Yield what was kept; a line that was cut off is asked again."""
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if is_entry(found):
            yield found
