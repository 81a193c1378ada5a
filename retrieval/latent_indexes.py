"""HNSW indexes on a collection's latents: one a kind of latent, built beside readers and writers.

They are made at run time on the collection's partition, with the latents as halfvec (half the memory, and the
same neighbours), and go with it. No migration knows them.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import errors, sql
from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection

from encoders.errors import DatabaseError, SearchError
from retrieval.named_cases import LATENT_KINDS, LatentKind
from retrieval.postgres import database_parameters
from retrieval.records import CollectionInfo
from retrieval.schema import partition_name
from retrieval.sessions import own_session

if TYPE_CHECKING:  # it brings the readers of volumes, which a search does without
    from retrieval.index_summary import IndexProgress


BUILD_LOCK = 0x63740001
"""With a collection's id: whoever builds its indexes holds this advisory lock."""

_PATIENCE_S = 60.0  # what other sessions' transactions may take before a build gives up
_POLL_S = 1.0
_MAX_BUILD_BYTES = 2 << 30
_GRAPH_BYTES_PER_ROW = 700  # neighbours and bookkeeping of a row at m = 16, beside its halfvec
_MAX_WORKERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HnswState:
    """How one index stands; `percent` of its rows while it is built, None where that cannot be told."""

    state: Literal["missing", "building", "invalid", "ready"]
    size_bytes: int | None = None
    percent: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)


def hnsw_name(collection_id: int, kind: LatentKind) -> str:
    """Return the name of a collection's index on one kind of latent."""
    return f"{partition_name(collection_id)}_hnsw_{kind}"


def hnsw_states(connection: Connection, info: CollectionInfo) -> dict[LatentKind, HnswState]:
    """Return how a collection's indexes stand, by kind of latent.

    An invalid one is what a build leaves that was killed; searches ignore it and writers pay for it.
    """
    return {kind: _state(connection, info, kind) for kind in LATENT_KINDS}


def build_hnsw(
    engine: Engine,
    info: CollectionInfo,
    progress: "IndexProgress",
    *,
    kinds: Sequence[LatentKind] = LATENT_KINDS,
    patience_s: float = _PATIENCE_S,
) -> dict[LatentKind, HnswState]:
    """Build the indexes that are missing or invalid; searches and writers go on meanwhile.

    Where another process builds indexes of this collection nothing is done: what it builds has every row.

    Args:
        engine: of the archive.
        info: the collection.
        progress: is told the phase, and the blocks of the table that are done.
        kinds: which latents are to be indexed.
        patience_s: how long transactions of other sessions are waited for, each time.

    Returns:
        How the indexes stand afterwards.

    Raises:
        DatabaseError: another session's transaction did not end in time, or the server went away.
        SearchError: the collection was dropped meanwhile.
        StorageError: the disk is full.
    """
    with own_session(engine) as session:
        if _is_ours(session, info):
            session.execute("SET statement_timeout = 0")
            session.execute(sql.SQL("SET lock_timeout = {}").format(round(patience_s * 1000)))
            for kind in kinds:
                with _watched(engine, session, info, kind, progress) as watch:
                    _build_missing(session, info, kind, watch, patience_s)
    with engine.connect() as connection:
        return hnsw_states(connection, info)


def _state(connection: Connection, info: CollectionInfo, kind: LatentKind) -> HnswState:
    row = connection.execute(
        text(_STATE), {"name": hnsw_name(info.id, kind), "lock": BUILD_LOCK, "collection": info.id}
    ).one_or_none()
    if row is None:
        return HnswState(state="missing")
    if row.usable:
        return HnswState(state="ready", size_bytes=row.size)
    if row.building:
        return HnswState(state="building", size_bytes=row.size, percent=row.percent)
    return HnswState(state="invalid", size_bytes=row.size)


def _is_ours(session: psycopg.Connection[Any], info: CollectionInfo) -> bool:
    """Take the collection's lock if it is free; waiting in line would be a transaction a build waits for."""
    taken = session.execute("SELECT pg_try_advisory_lock(%s, %s)", (BUILD_LOCK, info.id)).fetchone()
    return taken == (True,)


def _build_missing(
    session: psycopg.Connection[Any],
    info: CollectionInfo,
    kind: LatentKind,
    watch: "_Watch",
    patience_s: float,
) -> None:
    name = hnsw_name(info.id, kind)
    found = session.execute(
        "SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)
    ).fetchone()
    if found == (True,):
        return
    try:
        if found is not None:
            session.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))
        _create(session, info, kind)
    except errors.UndefinedTable as error:
        raise SearchError(
            f"the collection {info.name!r} was dropped while its {kind} latents were indexed: "
            "index its source again to make it anew"
        ) from error
    except errors.LockNotAvailable as error:
        _discard(session, name)
        raise DatabaseError(
            f"the HNSW index on the {kind} latents of {info.name!r} waited {patience_s:g} s for "
            f"{watch.blocker or 'another session'}: end its transaction, "
            f"then run ctsearch collections optimise {info.name}"
        ) from error
    except (KeyboardInterrupt, psycopg.Error):
        _discard(session, name)
        raise


def _create(session: psycopg.Connection[Any], info: CollectionInfo, kind: LatentKind) -> None:
    _allow_resources(session, info)
    create = sql.SQL(
        "CREATE INDEX CONCURRENTLY {name} ON {table} "
        "USING hnsw ((latent::halfvec({dim})) halfvec_ip_ops) WHERE {item} IS NOT NULL"
    ).format(
        name=sql.Identifier(hnsw_name(info.id, kind)),
        table=sql.Identifier(partition_name(info.id)),
        dim=sql.Literal(info.latent_dim),
        item=sql.Identifier(f"{kind}_id"),
    )
    try:
        session.execute(create)
    except errors.DiskFull as error:
        if "shared memory" not in str(error):
            raise
        # A server in a container may have 64 MB to share between parallel workers: one process needs none.
        _discard(session, hnsw_name(info.id, kind))
        session.execute("SET max_parallel_maintenance_workers = 0")
        session.execute(create)


def _allow_resources(session: psycopg.Connection[Any], info: CollectionInfo) -> None:
    """Give the build the memory its graph takes (without, it is many times slower) and the idle cores."""
    rows = session.execute(
        sql.SQL("SELECT pg_relation_size({table}::regclass) / {row_bytes}").format(
            table=sql.Literal(partition_name(info.id)), row_bytes=sql.Literal(4 * info.latent_dim)
        )
    ).fetchone() or (0,)
    needed = min(rows[0] * (2 * info.latent_dim + _GRAPH_BYTES_PER_ROW), _MAX_BUILD_BYTES)
    is_embedded = database_parameters() is None
    workers = min((os.cpu_count() or 1) - 1, _MAX_WORKERS) if is_embedded else 0
    session.execute(
        "SELECT set_config('maintenance_work_mem', greatest(%s, "
        "    (SELECT setting::bigint FROM pg_settings WHERE name = 'maintenance_work_mem'))::text, false), "
        "set_config('max_parallel_maintenance_workers', greatest(%s, "
        "    current_setting('max_parallel_maintenance_workers')::int)::text, false)",
        (needed // 1024, workers),
    )


def _discard(session: psycopg.Connection[Any], name: str) -> None:
    """Drop what a failed build left if that can be done at once; else the next build does."""
    try:
        session.execute("SET lock_timeout = 1000")
        session.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(name)))
    except psycopg.Error:
        return


@dataclass(slots=True)
class _Watch:
    """What was last seen of a build: which other session it waits for."""

    blocker: str | None = None


@contextmanager
def _watched(
    engine: Engine,
    session: psycopg.Connection[Any],
    info: CollectionInfo,
    kind: LatentKind,
    progress: "IndexProgress",
) -> Iterator[_Watch]:
    """Report how far the session's build is, from a second session, until the block ends."""
    watch, ended = _Watch(), threading.Event()
    step = f"indexing {kind} latents of {info.name}"
    reporter = threading.Thread(
        target=_report, args=(engine, session.info.backend_pid, step, progress, watch, ended), daemon=True
    )
    reporter.start()
    try:
        yield watch
    finally:
        ended.set()
        reporter.join()


def _report(
    engine: Engine, builder: int, step: str, progress: "IndexProgress", watch: _Watch, ended: threading.Event
) -> None:
    try:
        with own_session(engine) as session:
            while not ended.wait(_POLL_S):
                row = session.execute(_PROGRESS, (builder,)).fetchone()
                if row is not None:
                    phase, done, total, watch.blocker = row
                    waiting = f", waiting for {watch.blocker}" if watch.blocker else f" ({phase})"
                    progress.update(done=done, total=total or None, failed=0, step=step + waiting)
    except DatabaseError:
        return  # the builder itself says so


_STATE = """
SELECT pg_relation_size(indexrelid) AS size, indisvalid AND indisready AS usable,
    EXISTS (
        SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE locktype = 'advisory' AND classid = :lock AND objid = :collection AND objsubid = 2
            AND datname = current_database()
    ) AS building,
    CAST(100.0 * blocks_done / nullif(blocks_total, 0) AS double precision) AS percent
FROM pg_index LEFT JOIN pg_stat_progress_create_index ON index_relid = indexrelid
WHERE indexrelid = to_regclass(:name)
"""

_PROGRESS = """
SELECT phase, blocks_done, blocks_total,
    'session ' || locker.pid || coalesce(' (' || nullif(locker.application_name, '') || ')', '')
FROM pg_stat_progress_create_index AS build
LEFT JOIN pg_stat_activity AS locker ON locker.pid = nullif(build.current_locker_pid, 0)
WHERE build.pid = %s
"""
