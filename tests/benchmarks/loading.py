"""Bulk load through the store, beside bare binary COPY of the very same rows."""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from retrieval.cases import Case
from retrieval.records import CollectionInfo, EmbeddingRow
from retrieval.schema import partition_name
from retrieval.sessions import own_session
from retrieval.store import Store
from tests.benchmarks.archive import LATENT_DIM, Archive

COLLECTION = "bench"
_BARE, _KEYED = "INCLUDING STORAGE INCLUDING GENERATED", "INCLUDING ALL"
_FOREIGN_KEYS = (
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'"
)
_TABLES = ("patient", "study", "volume", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTime:
    """Seconds for all volumes of an archive."""

    batch_cases: int
    rows: int
    cases_s: float  # patients, studies, volumes with their metadata, labels
    latents_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTime:
    """Seconds for the same rows by one COPY a table.

    Bare: the same columns and nothing else. Keyed: with the indexes, checks and foreign keys that the
    archive's tables have.
    """

    cases_s: float
    latents_s: float
    keyed_cases_s: float
    keyed_latents_s: float


_Times = TypeVar("_Times", LoadTime, CopyTime)


def load(engine: Engine, archive: Archive, batch_cases: int) -> tuple[CollectionInfo, LoadTime]:
    """Load an archive as the indexer does, a transaction a batch."""
    store = Store(engine)
    info = store.ensure_collection(
        COLLECTION,
        encoder="synthetic",
        encoder_digest="e" * 64,
        preprocessing_digest="p" * 64,
        latent_dim=LATENT_DIM,
    )
    cases_s = latents_s = 0.0
    gc.collect()
    gc.freeze()  # the archive that this process holds is not the store's to look through
    for batch in _batches(archive, batch_cases):
        start = time.perf_counter()
        saved = store.save_cases([case for case, _ in batch])
        between = time.perf_counter()
        rows = [
            EmbeddingRow(
                study_id=saved.study_id(case),
                volume_id=saved.volume_id(case, volume),
                content=b"x" * 32,
                latent=latent_L,
            )
            for case, place in batch
            for volume, latent_L in zip(case.volumes, archive.latent_NL[place], strict=True)
        ]
        made = time.perf_counter()
        store.save_embeddings(info, rows)
        cases_s += between - start
        latents_s += time.perf_counter() - made
    return info, LoadTime(batch_cases=batch_cases, rows=len(archive), cases_s=cases_s, latents_s=latents_s)


def bare_copy(engine: Engine, info: CollectionInfo) -> CopyTime:
    """Copy the rows that are stored into other tables; reading them is not counted."""
    latents = partition_name(info.id)
    with own_session(engine) as session:
        session.execute("CHECKPOINT")
        bare = {table: _copied(session, table, _BARE) for table in (*_TABLES, latents)}
        keyed = {table: _copied(session, table, _KEYED) for table in (*_TABLES, latents)}
    return CopyTime(
        cases_s=sum(bare[table] for table in _TABLES),
        latents_s=bare[latents],
        keyed_cases_s=sum(keyed[table] for table in _TABLES),
        keyed_latents_s=keyed[latents],
    )


def least(times: Sequence[_Times]) -> _Times:
    """Return the least of each figure: what other work on the machine adds is no one's share."""
    return replace(
        times[0], **{f.name: min(getattr(each, f.name) for each in times) for f in fields(times[0])}
    )


def _copied(session: psycopg.Connection, table: str, like: str) -> float:
    """Return the seconds that a COPY of a table into one like it takes."""
    names = {"table": sql.Identifier(table), "other": sql.Identifier(f"other_{table}")}
    with (
        session.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {table} TO STDOUT (FORMAT binary)").format(**names)) as out,
    ):
        content = b"".join(out)
    session.execute(sql.SQL(f"CREATE TABLE {{other}} (LIKE {{table}} {like})").format(**names))
    if like == _KEYED:
        for (key,) in session.execute(_FOREIGN_KEYS, (table,)).fetchall():
            session.execute(sql.SQL("ALTER TABLE {other} ADD {key}").format(key=sql.SQL(key), **names))
    session.execute("SET plan_cache_mode = auto")  # as the store does: foreign keys are planned once
    start = time.perf_counter()
    with (
        session.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {other} FROM STDIN (FORMAT binary)").format(**names)) as into,
    ):
        into.write(content)
    taken = time.perf_counter() - start
    session.execute(sql.SQL("DROP TABLE {other}").format(**names))
    return taken


def _batches(archive: Archive, size: int) -> Iterator[list[tuple[Case, slice]]]:
    cases = archive.cases()
    while batch := list(islice(cases, size)):
        yield batch
