"""Tables of one kind, joined by the names of volumes and studies."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from encoders.errors import DatasetError
from retrieval.cases import Unreadable
from retrieval.datasets.tables import Row, Table, cell, rows_by_name

TableKind = Literal["reports", "labels", "metadata"]
KINDS: tuple[TableKind, ...] = ("reports", "labels", "metadata")
Entry = tuple[Table, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The rows of all tables of one kind by key, and what was wrong with others."""

    rows: Mapping[str, Entry] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    warnings: tuple[str, ...] = ()


def join(
    tables: Iterable[Table], names: tuple[str, ...], key_of: Callable[[str], str | None], expected: str
) -> Joined:
    """Index the rows of several tables by the key of their name column.

    Args:
        tables: of one kind, with the same names in none but one of them.
        names: what the name column may be called.
        key_of: a name as written to the key it joins on; None where it is no name of this data set.
        expected: what a name looks like, for the reader of an error.

    Raises:
        DatasetError: a table has no name column, none of its names is one, or two tables list one name.
    """
    rows: dict[str, Entry] = {}
    unreadable: list[Unreadable] = []
    warnings: list[str] = []
    for table in tables:
        place = table.require(names, "the name of the volume or study")
        keys = [key_of(cell(row, place)) for row in table.rows]
        if not any(keys):
            first = cell(table.rows[0], place)
            raise DatasetError(
                f'{table.path} names none of this data set\'s volumes or studies ("{first}" on line '
                f"{table.rows[0].line}, expected {expected}): give another table or --format"
            )
        unreadable += [
            Unreadable(
                item=f"{table.path.name}: line {row.line}",
                error=f'{table.path.name} names "{cell(row, place)}" on line {row.line}, '
                f"expected {expected}: correct the name",
            )
            for row, key in zip(table.rows, keys, strict=True)
            if key is None
        ]
        found, clashes, repeated = rows_by_name(table, keys)
        twice = next((key for key in found if key in rows), None)
        if twice is not None:
            raise DatasetError(
                f"{rows[twice][0].path} and {table.path} both list {twice}: say which is meant "
                "with --reports, --labels or --metadata"
            )
        rows |= {key: (table, row) for key, row in found.items()}
        unreadable += clashes
        warnings += [*table.warnings, *repeated]
    return Joined(rows=rows, unreadable=tuple(unreadable), warnings=tuple(warnings))


def unreadable_row(name: str, entry: Entry | None, error: ValueError) -> Unreadable:
    """Say which row cannot be used, and why; `error` is the end of the sentence."""
    where = name if entry is None else f"{entry[0].path.name}: line {entry[1].line}"
    return Unreadable(item=name, error=f"{where} {error}")
