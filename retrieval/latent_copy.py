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
_BYTES_PER_BLOCK = 8 << 20
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
    blocks = list(latent_blocks(connection, query, latent_dim, keys=1))
    if not blocks:
        return np.empty(0, np.int64), np.empty((0, latent_dim), np.float32)
    return np.concatenate([keys_N1[:, 0] for keys_N1, _ in blocks]), np.concatenate(
        [latents_NL for _, latents_NL in blocks]
    )


def latent_blocks(
    connection: Connection, query: sql.Composable, latent_dim: int, *, keys: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Yield the rows of a query in the order in which they come, a few megabytes at a time.

    Args:
        connection: in a transaction.
        query: of `keys` columns of bigint, none of them null, and then a vector.
        latent_dim: L, of every vector.
        keys: how many columns come before the vector.

    Yields:
        Keys (N, keys) and latents (N, L).
    """
    key = [("bytes", ">i4"), ("value", ">i8")]
    layout = np.dtype(
        [
            ("fields", ">i2"),
            ("keys", np.dtype(key), (keys,)),
            ("latent_bytes", ">i4"),
            ("dim", ">i2"),
            ("zero", ">i2"),
            ("latent", ">f4", (latent_dim,)),
        ]
    )
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
    received = bytearray()
    passed_over = len(_HEADER)
    with raw_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for piece in copy:
            received += piece
            if len(received) >= _BYTES_PER_BLOCK:
                yield _taken(received, layout, passed_over)
                passed_over = 0
    if len(received) >= passed_over + layout.itemsize:
        yield _taken(received, layout, passed_over)


def _taken(
    received: bytearray, layout: np.dtype[np.void], passed_over: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Take the whole rows out of what was received; the trailer is shorter than any row."""
    count = (len(received) - passed_over) // layout.itemsize
    end = passed_over + count * layout.itemsize
    rows = np.frombuffer(bytes(received[passed_over:end]), layout)
    del received[:end]
    return rows["keys"]["value"].astype(np.int64), rows["latent"].astype(np.float32)


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
