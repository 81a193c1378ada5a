"""Latents over PostgreSQL's binary COPY, a matrix at a time.

The wire format is that of PostgreSQL's COPY documentation: a header, tuples of (field count, then length and
value of each field, big-endian), a trailer. A pgvector value is (dimension, 0) as two int16, then float32.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from sqlalchemy.engine import Connection

from retrieval.records import EmbeddingRow

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_ROWS_PER_BLOCK = 512
_COLUMNS = ("collection_id", "study_id", "volume_id", "report_id", "content", "latent")


def raw_connection(connection: Connection) -> psycopg.Connection[Any]:
    """Return psycopg's connection under SQLAlchemy's, in the same transaction."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"the engine's driver is {type(raw)}, not psycopg")
    return raw


def copy_latents_in(
    connection: Connection, table: str, collection_id: int, rows: Sequence[EmbeddingRow]
) -> None:
    """Append rows to a collection's partition.

    Args:
        connection: in a transaction.
        table: the partition, whose constraints decide.
        collection_id: its own.
        rows: latents of one length.

    Raises:
        psycopg.Error: a constraint is broken, or the server is away.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    )
    with raw_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_HEADER)
        for block in _blocks(collection_id, rows):
            copy.write(block)
        copy.write(_TRAILER)


def copy_latents_out(
    connection: Connection, query: sql.Composable, latent_dim: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the ids (N,) and latents (N, L) that a query of (bigint, vector) yields."""
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
    with raw_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        received = bytearray()
        for block in copy:
            received += block
    id_fields = [("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8")]
    latent_fields = [
        ("latent_bytes", ">i4"),
        ("dim", ">i2"),
        ("zero", ">i2"),
        ("latent", f"({latent_dim},)>f4"),
    ]
    fixed = np.dtype([*id_fields, *latent_fields])
    count = (len(received) - len(_HEADER) - len(_TRAILER)) // fixed.itemsize
    rows = np.frombuffer(received, fixed, count=count, offset=len(_HEADER))
    return rows["id"].astype(np.int64), rows["latent"].astype(np.float32)


def _blocks(collection_id: int, rows: Sequence[EmbeddingRow]) -> Iterator[bytes]:
    """Yield the tuples of rows, those of one layout together."""
    layouts: dict[tuple[bool, int], list[EmbeddingRow]] = {}
    for row in rows:
        layouts.setdefault((row.volume_id is None, len(row.content)), []).append(row)
    for (of_report, content_bytes), alike in layouts.items():
        layout = _layout(len(alike[0].latent), content_bytes, of_report=of_report)
        for start in range(0, len(alike), _ROWS_PER_BLOCK):
            yield _packed(collection_id, alike[start : start + _ROWS_PER_BLOCK], layout)


def _layout(latent_dim: int, content_bytes: int, *, of_report: bool) -> np.dtype[np.void]:
    """Return the bytes of a tuple of `_COLUMNS`: before each value its length, -1 and no value for NULL."""
    item = [("null", ">i4"), ("item_bytes", ">i4"), ("item", ">i8")]
    if not of_report:
        item = [*item[1:], item[0]]
    return np.dtype(
        [
            ("fields", ">i2"),
            ("collection_bytes", ">i4"),
            ("collection", ">i8"),
            ("study_bytes", ">i4"),
            ("study", ">i8"),
            *item,
            ("content_bytes", ">i4"),
            ("content", f"V{content_bytes}"),
            ("latent_bytes", ">i4"),
            ("dim", ">i2"),
            ("zero", ">i2"),
            ("latent", f"({latent_dim},)>f4"),
        ]
    )


def _packed(collection_id: int, rows: Sequence[EmbeddingRow], layout: np.dtype[np.void]) -> bytes:
    packed = np.zeros(len(rows), layout)
    packed["fields"] = len(_COLUMNS)
    packed["collection_bytes"] = packed["study_bytes"] = packed["item_bytes"] = 8
    packed["collection"] = collection_id
    packed["study"] = [row.study_id for row in rows]
    packed["null"] = -1
    packed["item"] = [row.report_id if row.volume_id is None else row.volume_id for row in rows]
    packed["content_bytes"] = layout["content"].itemsize
    packed["content"] = np.frombuffer(b"".join(row.content for row in rows), layout["content"])
    packed["dim"] = packed["latent"].shape[1]
    packed["latent_bytes"] = 4 + 4 * packed["dim"]
    packed["latent"] = [row.latent for row in rows]
    return packed.tobytes()
