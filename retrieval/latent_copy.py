"""Latents over PostgreSQL's binary COPY, a matrix at a time.

The wire format is that of PostgreSQL's COPY documentation: a header, tuples of (field count, then length and
value of each field, big-endian), a trailer. A pgvector value is (dimension, 0) as two int16, then float32.
"""

import struct
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
    dim = len(rows[0].latent)
    latent_head = struct.pack(">ihh", 4 + 4 * dim, dim, 0)
    row_head = struct.pack(">hiq", len(_COLUMNS), 8, collection_id)
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block = rows[start : start + _ROWS_PER_BLOCK]
        latents = np.stack([row.latent for row in block]).astype(">f4")
        pieces = []
        for row, latent in zip(block, latents, strict=True):
            ids = _number(row.study_id) + _number(row.volume_id) + _number(row.report_id)
            content = struct.pack(">i", len(row.content)) + row.content
            pieces += [row_head, ids, content, latent_head, latent.tobytes()]
        yield b"".join(pieces)


def _number(value: int | None) -> bytes:
    return b"\xff\xff\xff\xff" if value is None else struct.pack(">iq", 8, value)
