"""CSV that a spreadsheet opens as text: a cell that it would take for a formula begins with an apostrophe."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header; numbers stay numbers, None is empty.

    Args:
        columns: the keys that are written, in their order.
        rows: by column.
    """
    return "".join(csv_lines(columns, rows))


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what `write_csv` returns, line by line, for what is too long to be held."""
    yield _line(columns)
    for row in rows:
        yield _line([_safe_cell(row[column]) for column in columns])


def _line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _safe_cell(value: Any) -> Any:
    """Return what a cell holds: a number as it is, None empty, a text that is no formula."""
    if value is None or isinstance(value, int | float):
        return value
    text = str(value).replace("\0", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
