"""Latents into a collection's partition: checked, then copied in bulk."""

from collections.abc import Sequence

import numpy as np
from psycopg import errors, sql
from sqlalchemy import text
from sqlalchemy.engine import Connection

from encoders.errors import DatabaseError, InputError, SearchError
from retrieval.latent_copy import copy_latents_in, raw_connection
from retrieval.records import CollectionInfo, EmbeddingRow
from retrieval.schema import partition_name

_UNIT_TOLERANCE = 1e-3  # what bfloat16 arithmetic may leave of a length of 1
_MAX_CONTENT_BYTES = 64  # a row of the longest latent must still fit a page
_ROWS_CHECKED_AT_ONCE = 256  # what fits a core's cache
_ATTEMPTS = 5


def save_embeddings(connection: Connection, collection: CollectionInfo, rows: Sequence[EmbeddingRow]) -> None:
    """Write latents; one of an item that has one already replaces it.

    Rows are copied straight into the partition: an upsert by way of a temporary table takes twice as long.
    Only where one of them is there already are those of all these items deleted first. An item that was
    removed from the archive meanwhile is passed over.

    Args:
        connection: in a transaction.
        collection: whose encoder made them.
        rows: of which the last counts where an item comes twice.

    Raises:
        InputError: a latent is of another length or no unit vector, or a row names no item or two.
        SearchError: the collection was dropped meanwhile.
        DatabaseError: others write the same items without end.
    """
    if not rows:
        return
    _check(collection, rows)
    distinct = {(row.volume_id, row.report_id): row for row in rows}
    ordered = [distinct[key] for key in sorted(distinct, key=lambda key: (key[0] or 0, key[1] or 0))]
    table = partition_name(collection.id)
    are_new = True
    for _ in range(_ATTEMPTS):
        if not ordered:
            return
        try:
            with connection.begin_nested():
                if not are_new:
                    _delete(connection, table, ordered)
                copy_latents_in(connection, table, collection.id, ordered)
        except errors.UniqueViolation:
            are_new = False  # or another writer was faster with one of them
        except errors.ForeignKeyViolation:
            ordered = _still_there(connection, ordered)
        except errors.UndefinedTable as error:
            raise SearchError(
                f"the collection {collection.name!r} was dropped while latents were written to it: "
                "index again to make it anew"
            ) from error
        else:
            return
    raise DatabaseError(
        f"other programs write the same items of {collection.name!r} all the time: "
        "stop them, then run the same command again"
    )


def known_content(
    connection: Connection, collection: CollectionInfo, item: str, ids: Sequence[int]
) -> dict[int, bytes]:
    """Return the content digest behind each latent that is stored.

    Args:
        connection: to the archive.
        collection: whose latents are meant.
        item: "volume_id" or "report_id".
        ids: of that kind.
    """
    rows = connection.execute(
        text(
            f"SELECT {item}, content FROM embedding "  # noqa: S608 - a column's name, of ours
            f"WHERE collection_id = :collection AND {item} = ANY(:ids)"
        ),
        {"collection": collection.id, "ids": list(ids)},
    )
    return {item_id: bytes(content) for item_id, content in rows}


def _check(collection: CollectionInfo, rows: Sequence[EmbeddingRow]) -> None:
    for row in rows:
        if (row.volume_id is None) == (row.report_id is None):
            raise InputError(f"the latent of {_item(row)} must be of one volume or of one report")
        if row.latent.shape != (collection.latent_dim,):
            raise InputError(
                f"the latent of {_item(row)} has shape {row.latent.shape}, {collection.name!r} takes "
                f"{collection.latent_dim} numbers: encode with the encoder that made the collection"
            )
        if not 1 <= len(row.content) <= _MAX_CONTENT_BYTES:
            raise InputError(
                f"the latent of {_item(row)} has a content digest of {len(row.content)} bytes, "
                f"and not 1 to {_MAX_CONTENT_BYTES}"
            )
    for start in range(0, len(rows), _ROWS_CHECKED_AT_ONCE):
        block = rows[start : start + _ROWS_CHECKED_AT_ONCE]
        latents_NL = np.stack([row.latent for row in block])
        length_N = np.sqrt(np.einsum("nl,nl->n", latents_NL, latents_NL))
        wrong = np.flatnonzero(~(np.abs(length_N - 1) <= _UNIT_TOLERANCE))  # not, so that NaN is refused
        if len(wrong):
            raise InputError(
                f"the latent of {_item(block[wrong[0]])} has length {length_N[wrong[0]]:.3g} and not 1: "
                "check the encoder"
            )


def _item(row: EmbeddingRow) -> str:
    named = [("volume", row.volume_id), ("report", row.report_id)]
    return " and ".join(f"{kind} {number}" for kind, number in named if number is not None) or "nothing"


def _delete(connection: Connection, table: str, rows: Sequence[EmbeddingRow]) -> None:
    with raw_connection(connection).cursor() as cursor:
        for item in ("volume_id", "report_id"):
            ids = [number for row in rows if (number := getattr(row, item)) is not None]
            if ids:
                delete = sql.SQL("DELETE FROM {} WHERE {} = ANY(CAST(%s AS bigint[]))").format(
                    sql.Identifier(table), sql.Identifier(item)
                )
                cursor.execute(
                    delete, (f"{{{','.join(map(str, ids))}}}",)
                )  # a list is dumped ten times slower


def _still_there(connection: Connection, rows: Sequence[EmbeddingRow]) -> list[EmbeddingRow]:
    present = {
        item: set(
            connection.execute(
                text(f"SELECT id FROM {item} WHERE id = ANY(:ids)"),  # noqa: S608 - "volume" or "report"
                {"ids": [getattr(row, f"{item}_id") for row in rows]},
            ).scalars()
        )
        for item in ("volume", "report")
    }
    return [row for row in rows if row.volume_id in present["volume"] or row.report_id in present["report"]]
