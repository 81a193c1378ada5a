"""New rows: their ids are reserved, then they are copied.

A COPY costs a tenth of INSERT with its search for conflicts. Where another writer was faster with one of the
rows, the whole transaction runs again and finds it stored.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from psycopg import sql
from sqlalchemy.engine import Connection

from retrieval.latent_copy import raw_connection

NamedTable = Literal["patient", "study", "volume"]


def stored_or_reserved(
    connection: Connection, table: NamedTable, keys: Sequence[tuple[str, str]]
) -> tuple[dict[tuple[str, str], int], set[tuple[str, str]]]:
    """Return the id of each row by (dataset, name), and the keys of those that are not stored yet.

    Args:
        connection: in a transaction.
        table: whose key is (dataset, name).
        keys: each once; in the order of the keys two writers wait for each other and no more.
    """
    ids: dict[tuple[str, str], int] = {}
    new: set[tuple[str, str]] = set()
    for dataset in dict.fromkeys(dataset for dataset, _ in keys):
        names = [name for of, name in keys if of == dataset]
        rows = raw_connection(connection).execute(
            sql.SQL(_STORED_OR_RESERVED).format(table=sql.Identifier(table), sequence=f"{table}_id_seq"),
            {"names": json.dumps(names), "dataset": dataset},
        )
        for name, (row_id, is_new) in zip(names, rows.fetchall(), strict=True):
            ids[dataset, name] = row_id
            if is_new:
                new.add((dataset, name))
    return ids, new


def reserve_ids(connection: Connection, table: Literal["report"], count: int) -> list[int]:
    """Return ids for rows that are about to be copied."""
    rows = raw_connection(connection).execute(
        "SELECT nextval(%s) FROM generate_series(1, %s)", (f"{table}_id_seq", count)
    )
    return [row_id for (row_id,) in rows.fetchall()]


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Copy new rows into a table.

    Raises:
        psycopg.errors.UniqueViolation: another writer stored one of them.
        psycopg.errors.ForeignKeyViolation: what one of them belongs to was removed.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with raw_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


_STORED_OR_RESERVED = """
SELECT coalesce(stored.id, nextval({sequence})), stored.id IS NULL
FROM jsonb_array_elements_text(CAST(%(names)s AS jsonb)) WITH ORDINALITY AS given (name, place)
LEFT JOIN {table} AS stored ON stored.dataset = %(dataset)s AND stored.name = given.name
ORDER BY place
"""
