"""Cases, collections and counts for tests of the store."""

from collections.abc import Sequence

import numpy as np
import psycopg
from psycopg import sql

from retrieval.cases import Case, Volume
from retrieval.schema import Base
from retrieval.store import CollectionInfo, Store

DIM = 4
UNIT = np.array([0.6, 0.0, 0.8, 0.0], np.float32)
OTHER_UNIT = np.array([0.0, 1.0, 0.0, 0.0], np.float32)


def make_collection(store: Store, name: str, *, dim: int = DIM) -> CollectionInfo:
    return store.ensure_collection(
        name, encoder="tiny", encoder_digest="e" * 64, preprocessing_digest="p" * 64, latent_dim=dim
    )


def case(study: str, *, patient: str = "P1", volumes: Sequence[str] = (), **fields) -> Case:
    named = tuple(Volume(name=name) for name in volumes)
    return Case(**({"dataset": "folder", "patient": patient, "study": study, "volumes": named} | fields))


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    return int(row[0]) if row else -1


def everything(connection: psycopg.Connection) -> dict[str, int]:
    return {table: count(connection, table) for table in Base.metadata.tables}
