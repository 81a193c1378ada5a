"""The archive's rows, written in bulk and any number of times: the second time nothing changes.

A thin face over the modules beside it; every method is one transaction, tried again where two writers met.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from encoders.errors import DatabaseError
from retrieval import (
    store_cases,
    store_collections,
    store_embeddings,
    store_removal,
    store_runs,
    store_volumes,
)
from retrieval.cases import Case
from retrieval.postgres_errors import database_errors, first_line
from retrieval.records import (
    CollectionInfo,
    EmbeddingRow,
    Failure,
    FileRow,
    Removed,
    RunState,
    SavedCases,
)

__all__ = [
    "CollectionInfo",
    "EmbeddingRow",
    "Failure",
    "FileRow",
    "Removed",
    "RunState",
    "SavedCases",
    "Store",
]

_T = TypeVar("_T")
_ATTEMPTS = 10
_PLAN_ONCE = text("SET LOCAL plan_cache_mode = auto")  # else every row's foreign keys are planned anew
# Deadlock, serialization failure, a row that another writer added or removed: the same again will do.
_COLLISIONS = {"40P01", "40001", "23505", "23503"}


class Store:
    """Reads and writes the archive behind an engine of `retrieval.migrate.open_archive`.

    Every method raises DatabaseError when the server is away and StorageError when its disk is full.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # Collections

    def ensure_collection(
        self, name: str, *, encoder: str, encoder_digest: str, preprocessing_digest: str, latent_dim: int
    ) -> CollectionInfo:
        """Return the collection of that name, made where it is missing; see `store_collections`.

        Raises:
            ConfigError: the name or the dimension will not do.
            SearchError: the collection was made by another encoder or with other preprocessing.
        """
        return self._transact(
            lambda connection: store_collections.ensure_collection(
                connection,
                name,
                encoder=encoder,
                encoder_digest=encoder_digest,
                preprocessing_digest=preprocessing_digest,
                latent_dim=latent_dim,
            )
        )

    def collection(self, name: str) -> CollectionInfo:
        """Return a collection without its counts.

        Raises:
            SearchError: there is none of that name; the nearest are named.
        """
        return self._transact(lambda connection: store_collections.collection_named(connection, name))

    def collections(self) -> list[CollectionInfo]:
        """Return every collection with its counts, by name."""
        return self._transact(store_collections.all_collections, snapshot=True)

    def drop_collection(self, name: str) -> None:
        """Delete a collection with its latents; cases stay.

        Raises:
            SearchError: there is none of that name.
        """
        self._transact(lambda connection: store_collections.drop_collection(connection, name))

    def export_collection(self, name: str, path: Path) -> int:
        """Write a collection's latents as npz and return the number of rows; see `store_collections`.

        Raises:
            SearchError: no such collection, or it has no latent of a volume.
            StorageError: the file cannot be written.
        """
        return self._transact(
            lambda connection: store_collections.export_collection(connection, name, path), snapshot=True
        )

    # Cases and their files

    def save_cases(self, cases: Sequence[Case]) -> SavedCases:
        """Write a batch of cases and say what differed; see `store_cases`.

        Raises:
            DatasetError: one volume is named in two studies.
        """
        return self._transact(lambda connection: store_cases.save_cases(connection, cases))

    def known_files(self, volume_ids: Sequence[int]) -> dict[int, FileRow]:
        """Return what volumes were last read from, by volume; those never read are missing."""
        return self._transact(lambda connection: store_volumes.known_files(connection, volume_ids))

    def save_files(self, rows: Sequence[FileRow]) -> None:
        """Write what volumes were read from."""
        self._transact(lambda connection: store_volumes.save_files(connection, rows))

    def same_content(self, sha256: bytes, *, except_volume: int | None = None) -> list[str]:
        """Return the names of volumes read from equal bytes: other cases all the same, but worth a word."""
        return self._transact(
            lambda connection: store_volumes.same_content(connection, sha256, except_volume)
        )

    # Latents

    def known_volume_content(self, collection: CollectionInfo, volume_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the content digest behind each stored latent of these volumes."""
        return self._transact(
            lambda connection: store_embeddings.known_content(connection, collection, "volume_id", volume_ids)
        )

    def known_report_content(self, collection: CollectionInfo, report_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the content digest behind each stored latent of these reports."""
        return self._transact(
            lambda connection: store_embeddings.known_content(connection, collection, "report_id", report_ids)
        )

    def save_embeddings(self, collection: CollectionInfo, rows: Sequence[EmbeddingRow]) -> None:
        """Write latents; one of an item that has one already replaces it; see `store_embeddings`.

        Raises:
            InputError: a latent is of another length, not finite or not a unit vector.
            SearchError: the collection was dropped meanwhile.
        """
        self._transact(lambda connection: store_embeddings.save_embeddings(connection, collection, rows))

    # Runs and failures

    def attended_run(self, collection: CollectionInfo) -> AbstractContextManager[int]:
        """Record that an index run begins, and yield its id; within it the run counts as alive."""
        return store_runs.attended_run(self._engine, collection)

    def finish_run(
        self, run_id: int, *, state: RunState, counts: Mapping[str, int], removed: Mapping[str, int]
    ) -> None:
        """Record how a run ended: what it did by kind, and what de-identification took out by kind."""
        self._transact(lambda connection: store_runs.finish_run(connection, run_id, state, counts, removed))

    def record_failure(
        self, run_id: int, *, item: str, content: bytes | None, error: str, study_id: int | None = None
    ) -> None:
        """Record that an item failed, once more if it did before; with its study it can be removed."""
        self._transact(
            lambda connection: store_runs.record_failure(connection, run_id, item, content, error, study_id)
        )

    def clear_failure(self, collection: CollectionInfo, item: str) -> None:
        """Forget that an item failed: it has succeeded since."""
        self._transact(lambda connection: store_runs.clear_failure(connection, collection, item))

    def failures(self, collection: CollectionInfo, *, run_id: int | None = None) -> dict[str, Failure]:
        """Return what failed and has not succeeded since, by item; of one run where it is given."""
        return self._transact(lambda connection: store_runs.failures(connection, collection, run_id))

    # Removal, identity, audit

    def remove_patient(self, name: str, *, actor: str = "cli") -> Removed:
        """Delete a patient with all studies from every table, audited; see `store_removal`.

        Raises:
            SearchError: no patient of that name, or one in several datasets.
        """
        return self._transact(lambda connection: store_removal.remove_patient(connection, name, actor))

    def remove_study(self, name: str, *, actor: str = "cli") -> Removed:
        """Delete a study from every table, and its patient if it was the last one, audited.

        Raises:
            SearchError: no study of that name, or one in several datasets.
        """
        return self._transact(lambda connection: store_removal.remove_study(connection, name, actor))

    def save_identities(self, sealed: Mapping[int, bytes]) -> None:
        """Keep what leads from studies, by id, back to the hospital's own names; sealed by `PseudonymKey`."""
        ids = sorted(sealed)
        self._transact(
            lambda connection: connection.execute(
                text(_SAVE_IDENTITIES), {"studies": ids, "sealed": [sealed[each] for each in ids]}
            )
        )

    def identity(self, study_id: int) -> bytes | None:
        """Return what was sealed for a study; None where nothing was."""
        return self._transact(
            lambda connection: connection.execute(
                text("SELECT sealed FROM identity_link WHERE study_id = :study"), {"study": study_id}
            ).scalar()
        )

    def audit(self, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None) -> None:
        """Record who did what to which case."""
        self._transact(
            lambda connection: store_removal.audit(connection, actor, action, subject, detail or {})
        )

    def _transact(self, work: Callable[[Connection], _T], *, snapshot: bool = False) -> _T:
        """Run work in a transaction and commit it; where it met another writer, run it again.

        Args:
            work: is given the connection.
            snapshot: whether all of its statements must see the same rows.
        """
        engine = self._engine
        if snapshot:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        for attempt in range(_ATTEMPTS):
            try:
                with database_errors(), engine.begin() as connection:
                    connection.execute(_PLAN_ONCE)
                    return work(connection)
            except (DBAPIError, psycopg.Error) as error:
                original = error.orig if isinstance(error, DBAPIError) else error
                if getattr(original, "sqlstate", None) not in _COLLISIONS:
                    raise
                said = first_line(original or error)
                time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - so that they do not meet again
        raise DatabaseError(f"other programs write the same rows all the time ({said}): run it again later")


_SAVE_IDENTITIES = """
INSERT INTO identity_link AS stored (study_id, sealed)
SELECT study.id, given.sealed
FROM unnest(CAST(:studies AS bigint[]), CAST(:sealed AS bytea[])) AS given (study_id, sealed)
JOIN study ON study.id = given.study_id
ORDER BY study.id
ON CONFLICT (study_id) DO UPDATE SET sealed = excluded.sealed
"""
