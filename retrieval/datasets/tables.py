"""CSV tables as hospitals and data sets write them: any delimiter, several encodings, no guessing."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from encoders.errors import DatasetError
from retrieval.acquisition import column_key
from retrieval.cases import Unreadable

_DELIMITERS = (",", ";", "\t")
_HEADER_BYTES = 1 << 16
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_EXCEL_MARK = re.compile(r"\s*sep=(.)\r?\n", re.IGNORECASE)
_OTHER_CODE_PAGE = re.compile("[ÐÝÞðýþ]")  # Turkish in Windows-1254 looks like Icelandic in Windows-1252


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and the line of the file it starts on."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its column names as written; cells are stripped text."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()
    _places: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = {column_key(column): place for place, column in enumerate(self.columns) if column}
        object.__setattr__(self, "_places", places)

    def find(self, names: Sequence[str]) -> int | None:
        """Return the place of the first of these columns that is there, by letters and digits alone."""
        keys = map(column_key, names)
        return next((self._places[key] for key in keys if key in self._places), None)

    def require(self, names: Sequence[str], what: str) -> int:
        """Return the place of a column that must be there.

        Raises:
            DatasetError: it is missing; the columns that were found are named.
        """
        place = self.find(names)
        if place is None:
            raise DatasetError(
                f"{self.path} has no column for {what} ({' or '.join(names[:4])}): "
                f"its columns are {_listed(self.columns)}"
            )
        return place


def read_table(path: Path, *, stripped: bool = True) -> Table:
    """Read a whole CSV file.

    UTF-8 (with or without a mark) and UTF-16 (with one) are read as such; anything else as Windows-1252,
    which holds Latin-1, with a warning, unless that were a guess. Delimiters are commas, semicolons or tabs.

    Args:
        path: the file.
        stripped: whether the cells lose the spaces around them; what is written out again keeps them.

    Raises:
        DatasetError: the file cannot be read, is empty, is no text, mixes encodings, has rows of unequal
            length or a quotation that never ends.
    """
    text, warnings = _decode(_read_bytes(path), path)
    records = _records(text, path, stripped=stripped)
    columns = _checked_header(next(records, None), path)
    rows: list[Row] = []
    shared: dict[str, str] = {}  # equal cells are one object: metadata repeats most of what it says
    for row in records:
        cells = _fitted(row, len(columns), path)
        rows.append(Row(row.line, tuple(shared.setdefault(cell, cell) for cell in cells)))
    if not rows:
        raise DatasetError(f"{path} has a header and no rows: give a table that lists cases")
    return Table(path=path, columns=columns, rows=tuple(rows), warnings=warnings)


def read_columns(path: Path) -> tuple[str, ...]:
    """Return the column names of a CSV file from its first bytes; empty where it has none.

    Raises:
        DatasetError: the file cannot be read.
    """
    data = _read_bytes(path, _HEADER_BYTES)
    encoding = "utf-16" if data.startswith(_UTF16_MARKS) else "utf-8-sig"
    try:
        first = next(_records(data.decode(encoding, errors="replace"), path), None)
    except DatasetError:
        return ()
    return () if first is None else tuple(cell.strip() for cell in first.cells)


def rows_by_name(
    table: Table, keys: Sequence[str | None], *, show_keys: bool = True
) -> tuple[dict[str, Row], list[Unreadable], list[str]]:
    """Index the rows of a table by their keys.

    Args:
        table: any table.
        keys: of each of its rows; None passes a row over.
        show_keys: whether errors may show them; a hospital's may be a patient's number.

    Returns:
        Rows by key; keys that two differing rows share, as unreadable (neither row is used); and a warning
        where equal rows were repeated.
    """
    rows: dict[str, Row] = {}
    clashes: dict[str, list[int]] = {}
    repeated = 0
    for row, key in zip(table.rows, keys, strict=True):
        if key is None:
            continue
        first = rows.setdefault(key, row)
        if first is row:
            continue
        if first.cells == row.cells:
            repeated += 1
        else:
            clashes.setdefault(key, [first.line]).append(row.line)
    for key in clashes:
        del rows[key]
    unreadable = [_clash(table, key if show_keys else "one name", lines) for key, lines in clashes.items()]
    warning = f"{table.path.name} repeats {repeated} rows word for word; each was used once"
    return rows, unreadable, [warning] if repeated else []


def _clash(table: Table, key: str, lines: Sequence[int]) -> Unreadable:
    where = f"lines {' and '.join(map(str, lines))}"
    return Unreadable(
        item=f"{table.path.name}: {where}",
        error=f"{table.path.name} lists {key} on {where} with different content: "
        "keep the line that is right; none of them was used",
    )


def cell(row: Row | None, place: int | None) -> str:
    """Return a cell, empty where there is no such row or column."""
    return "" if row is None or place is None else row.cells[place]


def other_cells(table: Table, row: Row, used: set[int | None]) -> Mapping[str, str]:
    """Return the cells of the columns that are not `used`, by column name, empty ones left out."""
    return {
        column: value
        for place, (column, value) in enumerate(zip(table.columns, row.cells, strict=True))
        if value and column and place not in used
    }


def _read_bytes(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise DatasetError(
            f"the table {path} cannot be read ({error.strerror}): "
            "check that it exists and that you may read it"
        ) from error


def _decode(data: bytes, path: Path) -> tuple[str, tuple[str, ...]]:
    if data.startswith(_UTF16_MARKS):
        try:
            return data.decode("utf-16"), ()
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path} is cut short within a UTF-16 character: copy it again") from error
    if data.startswith(b"PK\x03\x04"):
        raise DatasetError(f"{path} is a zip archive or an Excel workbook: export the sheet as CSV in UTF-8")
    if b"\0" in data:
        raise DatasetError(f"{path} is no text table (it holds zero bytes): export it as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        return _decode_western(data, path, error)


def _decode_western(data: bytes, path: Path, error: UnicodeDecodeError) -> tuple[str, tuple[str, ...]]:
    line = data.count(b"\n", 0, error.start) + 1
    refusal = f"{path} is not UTF-8 from line {line} on"
    if _MULTIBYTE.search(data):
        raise DatasetError(
            f"{refusal} but UTF-8 elsewhere, so it mixes encodings: save all of it as UTF-8"
        ) from error
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise DatasetError(f"{refusal} and not Windows-1252 either: save it as UTF-8") from error
    if _OTHER_CODE_PAGE.search(text):
        raise DatasetError(
            f"{refusal}, and may be Windows-1252 or Windows-1254 (Turkish), which differ in letters it uses: "
            "save it as UTF-8"
        ) from error
    odd = sum(character > "\x7f" for character in text)
    return text, (
        f"{path.name} is not UTF-8 and was read as Windows-1252 (Latin-1), on which {odd} of its characters "
        "depend: save it as UTF-8 to be sure of them",
    )


def _delimiter_of(text: str) -> str:
    header = re.sub(r'"[^"]*"', "", text.lstrip("\r\n ").partition("\n")[0])
    return max(_DELIMITERS, key=header.count)


def _records(text: str, path: Path, *, stripped: bool = True) -> Iterator[Row]:
    """Yield the rows that say anything, the header first, whose cells are always stripped."""
    is_header = True
    marked = _EXCEL_MARK.match(text)
    if marked is not None:
        text = "\n" + text[marked.end() :]
    delimiter = marked[1] if marked else _delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DatasetError(_broken(path, line, str(error))) from error
        if cells is None:
            return
        tidy = tuple(one.strip() for one in cells)
        if any(tidy):
            yield Row(line, tidy if stripped or is_header else tuple(cells))
            is_header = False


def _broken(path: Path, line: int, reason: str) -> str:
    if "unexpected end" in reason or "field larger" in reason:
        return f"{path}: a quotation that starts on line {line} never ends: close it, or export it again"
    return f"{path} is not a CSV table at line {line} ({reason}): export it again"


def _checked_header(header: Row | None, path: Path) -> tuple[str, ...]:
    if header is None:
        raise DatasetError(f"{path} is empty: give a CSV table with a header")
    named = [column_key(column) for column in header.cells if column]
    twice = sorted({column for column in header.cells if named.count(column_key(column)) > 1})
    if twice:
        raise DatasetError(f"{path} has the column {_listed(twice)} twice: rename or remove one")
    return header.cells


def _fitted(row: Row, width: int, path: Path) -> tuple[str, ...]:
    if len(row.cells) < width or any(row.cells[width:]):
        raise DatasetError(
            f"{path} has {len(row.cells)} cells on line {row.line} and {width} columns: "
            "quote texts that hold the delimiter, or export the table again"
        )
    return row.cells[:width]


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(name or "(no name)" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
