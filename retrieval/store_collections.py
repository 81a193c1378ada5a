"""Collections: made, listed, exported and dropped. Each has a partition of `embedding` for itself."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from psycopg import sql
from sqlalchemy import Row, text
from sqlalchemy.engine import Connection

from encoders.errors import ConfigError, SearchError, UnknownNameError
from retrieval.atomic_file import written_atomically
from retrieval.latent_copy import copy_latents_out
from retrieval.records import CollectionInfo
from retrieval.schema import MAX_LATENT_DIM, partition_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_COLUMNS = "id, name, encoder, encoder_digest, preprocessing_digest, latent_dim, created_at"
_DIGEST_SHOWN = 12


def ensure_collection(
    connection: Connection,
    name: str,
    *,
    encoder: str,
    encoder_digest: str,
    preprocessing_digest: str,
    latent_dim: int,
) -> CollectionInfo:
    """Return the collection of that name, made where it is missing. Others may do so at the same time.

    Args:
        connection: in a transaction.
        name: letters, digits, and . _ - within; it names files as well.
        encoder: what a person calls the encoder.
        encoder_digest: of its weights.
        preprocessing_digest: of everything between file and encoder, de-identification included.
        latent_dim: numbers in a latent.

    Raises:
        ConfigError: the name or the dimension will not do.
        SearchError: the collection was made by another encoder or with other preprocessing.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a collection: take up to 63 letters, digits, dots, dashes and "
            "underscores, a letter or digit first"
        )
    if not 1 <= latent_dim <= MAX_LATENT_DIM:
        raise ConfigError(
            f"the encoder {encoder} makes latents of {latent_dim} numbers, a collection takes 1 to "
            f"{MAX_LATENT_DIM}: project them to fewer"
        )
    made = connection.execute(
        text(
            "INSERT INTO collection (name, encoder, encoder_digest, preprocessing_digest, latent_dim) "
            "VALUES (:name, :encoder, :encoder_digest, :preprocessing_digest, :latent_dim) "
            "ON CONFLICT (name) DO NOTHING RETURNING id"
        ),
        {
            "name": name,
            "encoder": encoder,
            "encoder_digest": encoder_digest,
            "preprocessing_digest": preprocessing_digest,
            "latent_dim": latent_dim,
        },
    ).scalar()
    if made is not None:
        _make_partition(connection, made, latent_dim)
    found = collection_named(connection, name)
    _refuse_another(found, encoder, encoder_digest, preprocessing_digest, latent_dim)
    if found.encoder != encoder:  # the same weights under another name or in another place
        connection.execute(
            text("UPDATE collection SET encoder = :encoder WHERE id = :id"),
            {"encoder": encoder, "id": found.id},
        )
        return replace(found, encoder=encoder)
    return found


def collection_named(connection: Connection, name: str) -> CollectionInfo:
    """Return a collection without its counts.

    Raises:
        SearchError: there is none of that name; the nearest are named.
    """
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM collection WHERE name = :name"),  # noqa: S608 - a constant
        {"name": name},
    ).one_or_none()
    if row is None:
        names = connection.execute(text("SELECT name FROM collection ORDER BY name")).scalars().all()
        raise UnknownNameError(
            f"there is no collection {name!r}: {nearest(name, names, 'ctsearch index makes one')}"
        )
    return CollectionInfo(**row._mapping)


def all_collections(connection: Connection) -> list[CollectionInfo]:
    """Return every collection with its counts, by name."""
    counted: dict[int, Row[tuple[int, int, int, int]]] = {
        row.collection_id: row
        for row in connection.execute(
            text(
                "SELECT collection_id, count(volume_id) AS volumes, count(report_id) AS reports, "
                "count(DISTINCT study_id) AS studies FROM embedding GROUP BY collection_id"
            )
        )
    }
    return [
        replace(
            info,
            volumes=counted[info.id].volumes if info.id in counted else 0,
            reports=counted[info.id].reports if info.id in counted else 0,
            studies=counted[info.id].studies if info.id in counted else 0,
        )
        for info in collections_without_counts(connection)
    ]


def collections_without_counts(connection: Connection) -> list[CollectionInfo]:
    """Return every collection by name; its latents, which may be many, are not looked at."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM collection ORDER BY name")  # noqa: S608 - a constant
    )
    return [CollectionInfo(**row._mapping) for row in rows]


def drop_collection(connection: Connection, name: str) -> None:
    """Delete a collection with its latents, runs and failures; cases stay.

    Raises:
        SearchError: there is none of that name.
    """
    found = collection_named(connection, name)
    connection.execute(text("DELETE FROM collection WHERE id = :id"), {"id": found.id})
    connection.execute(text(f"DROP TABLE IF EXISTS {partition_name(found.id)}"))


def export_collection(connection: Connection, name: str, path: Path) -> int:
    """Write a collection's latents as npz, one row a volume that has one, by name; all of the file or none.

    The file holds `name`, `study`, `patient`, `dataset` (N,), `volume` and `report` (N, L) float32, and
    `has_report` (N,): where a volume's study has no report latent, the row of `report` is zeros. Where a
    study has several reports, the first by name is taken.

    Returns:
        N.

    Raises:
        SearchError: no such collection, or it has no latent of a volume.
        StorageError: the file cannot be written.
    """
    found = collection_named(connection, name)
    volume_ids, volume_NL = _latents(connection, found, "volume_id")
    if not len(volume_ids):
        raise SearchError(
            f"the collection {name!r} has no latent of a volume; `ctsearch index` puts them there"
        )
    report_ids, report_ML = _latents(connection, found, "report_id")
    row_of_report = {int(report_id): row for row, report_id in enumerate(report_ids)}
    row_of_volume = {int(volume_id): row for row, volume_id in enumerate(volume_ids)}
    rows = connection.execute(text(_EXPORTED), {"collection": found.id}).all()
    order = [row_of_volume[row.volume_id] for row in rows]
    has_report = np.array([row.report_id is not None for row in rows])
    report_NL = np.zeros((len(rows), found.latent_dim), np.float32)
    report_NL[has_report] = report_ML[
        [row_of_report[row.report_id] for row in rows if row.report_id is not None]
    ]
    with written_atomically(path) as stream:
        np.savez(
            stream,
            name=np.array([row.name for row in rows]),
            study=np.array([row.study for row in rows]),
            patient=np.array([row.patient for row in rows]),
            dataset=np.array([row.dataset for row in rows]),
            volume=volume_NL[order],
            report=report_NL,
            has_report=has_report,
        )
    return len(rows)


def nearest(name: str, names: Sequence[str], otherwise: str) -> str:
    """Return the end of a sentence that says what may have been meant instead of `name`."""
    close = get_close_matches(name, names, n=3, cutoff=0.5) or list(names[:3])
    return f"did you mean {_or(close)}?" if close else otherwise


def _or(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)


def _make_partition(connection: Connection, collection_id: int, latent_dim: int) -> None:
    """Make the partition beside the table and attach it: searches go on meanwhile."""
    table = partition_name(collection_id)
    connection.execute(
        text(
            f"CREATE TABLE {table} "
            "(LIKE embedding INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"
        )
    )
    connection.execute(
        text(f"ALTER TABLE {table} ADD CONSTRAINT {table}_dim CHECK (vector_dims(latent) = {latent_dim})")
    )
    connection.execute(
        text(f"ALTER TABLE embedding ATTACH PARTITION {table} FOR VALUES IN ({collection_id})")
    )


def _refuse_another(
    found: CollectionInfo, encoder: str, encoder_digest: str, preprocessing_digest: str, latent_dim: int
) -> None:
    if (found.encoder_digest, found.latent_dim) != (encoder_digest, latent_dim):
        raise SearchError(
            f"the collection {found.name!r} was made by the encoder {found.encoder} "
            f"({found.encoder_digest[:_DIGEST_SHOWN]}, {found.latent_dim} numbers), and this is {encoder} "
            f"({encoder_digest[:_DIGEST_SHOWN]}, {latent_dim} numbers): name another one with --collection"
        )
    if found.preprocessing_digest != preprocessing_digest:
        raise SearchError(
            f"the collection {found.name!r} was made with other preprocessing or de-identification "
            f"({found.preprocessing_digest[:_DIGEST_SHOWN]}) than this version's "
            f"({preprocessing_digest[:_DIGEST_SHOWN]}): name another one with --collection"
        )


def _latents(connection: Connection, collection: CollectionInfo, item: str) -> tuple[np.ndarray, np.ndarray]:
    query = sql.SQL("SELECT {item}, latent FROM {table} WHERE {item} IS NOT NULL").format(
        item=sql.Identifier(item), table=sql.Identifier(partition_name(collection.id))
    )
    return copy_latents_out(connection, query, collection.latent_dim)


_EXPORTED = """
SELECT volume.id AS volume_id, volume.name, study.name AS study, patient.name AS patient, volume.dataset,
    (SELECT report.id FROM report JOIN embedding AS told ON told.report_id = report.id
        WHERE report.study_id = study.id AND told.collection_id = :collection
        ORDER BY report.source_key LIMIT 1) AS report_id
FROM embedding
JOIN volume ON volume.id = embedding.volume_id
JOIN study ON study.id = volume.study_id
JOIN patient ON patient.id = study.patient_id
WHERE embedding.collection_id = :collection
ORDER BY volume.dataset, volume.name
"""
