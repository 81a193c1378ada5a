"""What a collection needs after a bulk load, so that searches are quick: statistics, indexes, a snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from encoders.errors import CtsearchError
from retrieval.faiss_collection import IndexKind, is_installed
from retrieval.index_summary import IndexProgress
from retrieval.latent_indexes import build_hnsw
from retrieval.named_cases import LATENT_KINDS, LatentKind
from retrieval.postgres_errors import first_line
from retrieval.records import CollectionInfo
from retrieval.schema import partition_name
from retrieval.sessions import own_session
from retrieval.snapshots import FAISS_FROM_ROWS, Snapshots

HNSW_FROM_ROWS = 10_000
"""Below so many latents (of 512 numbers) pgvector compares them all in 10 ms: no index is worth it."""

_CASE_TABLES = ("patient", "study", "volume", "source_file", "report", "report_sentence", "label")
_CHANGED_SHARE = 0.1


def tend_collection(
    engine: Engine,
    info: CollectionInfo,
    progress: IndexProgress,
    *,
    faiss: IndexKind | None = None,
    behind_share: float = 0.0,
) -> list[str]:
    """Vacuum what changed much, and build the indexes and the snapshot that the collection's size asks for.

    Args:
        engine: of the archive.
        info: the collection.
        progress: is told what is done.
        faiss: the kind of index that the snapshot is to have, whatever the size; None keeps the kind it has.
        behind_share: of the collection's rows; a snapshot that lacks no more of them is left as it is.

    Returns:
        What could not be done, a sentence each; searches are right without it, and slower.
    """
    undone: list[str] = []
    with _noted(undone, f"statistics of {info.name} are not up to date"):
        vacuum(engine, info, progress)
    with _noted(undone, f"{info.name} has no complete HNSW index"):
        kinds = _kinds_worth_an_index(engine, info)
        built = build_hnsw(engine, info, progress, kinds=kinds)
        if any(built[kind].state != "ready" for kind in kinds):
            undone.append(
                f"another process is building the HNSW index of {info.name}, or was killed while the server "
                "goes on with it: ctsearch db status shows how far it is"
            )
    if faiss is not None or is_installed():
        with _noted(undone, f"the snapshot of {info.name} is not up to date"):
            refresh_snapshot(engine, info, progress, faiss=faiss, behind_share=behind_share)
    return undone


def refresh_snapshot(
    engine: Engine,
    info: CollectionInfo,
    progress: IndexProgress,
    *,
    faiss: IndexKind | None,
    behind_share: float,
) -> None:
    """Build the snapshot of a collection that FAISS searches, if there is none or it lacks too many rows.

    Raises:
        ConfigError: FAISS is not installed.
        DatabaseError: the server went away.
        StorageError: the snapshot cannot be written.
    """
    snapshots = Snapshots(engine)
    with engine.connect() as connection:
        state = snapshots.state(connection, info)
    is_as_asked = state.problem is None and faiss in (None, state.kind)
    if is_as_asked and state.behind <= behind_share * state.count:
        return
    if state.problem is not None and faiss is None and not _has_rows(engine, info, FAISS_FROM_ROWS):
        return

    def report(done: int, total: int) -> None:
        progress.update(done=done, total=total, failed=0, step=f"reading {info.name} for its snapshot")

    snapshots.build(info, kind=faiss, progress=report)


def vacuum(engine: Engine, info: CollectionInfo, progress: IndexProgress) -> list[str]:
    """Vacuum and analyse the tables of which a tenth of the pages or more are new, and return their names.

    Filters are answered from indexes alone only where the visibility map knows the pages, and the planner
    counts by statistics. Autovacuum brings both too, a minute or more after a load. A table that somebody
    else is vacuuming or indexing is passed over.

    Raises:
        DatabaseError: the server went away.
        StorageError: its disk is full.
    """
    with own_session(engine) as session:
        changed = _changed(session, [partition_name(info.id), *_CASE_TABLES])
        for done, table in enumerate(changed):
            progress.update(done=done, total=len(changed), failed=0, step=f"vacuuming {table}")
            session.execute(sql.SQL("VACUUM (ANALYZE, SKIP_LOCKED) {}").format(sql.Identifier(table)))
        if partition_name(info.id) in changed:
            session.execute("ANALYZE (SKIP_LOCKED) embedding")  # autovacuum never looks at a table in parts
    return changed


def _changed(session: psycopg.Connection[Any], tables: list[str]) -> list[str]:
    return [name for (name,) in session.execute(_CHANGED, {"tables": tables, "share": _CHANGED_SHARE})]


def _kinds_worth_an_index(engine: Engine, info: CollectionInfo) -> list[LatentKind]:
    return [kind for kind in LATENT_KINDS if _has_rows(engine, info, HNSW_FROM_ROWS, kind)]


def _has_rows(engine: Engine, info: CollectionInfo, rows: int, kind: LatentKind | None = None) -> bool:
    of_kind = "" if kind is None else f"AND {kind}_id IS NOT NULL"
    some = f"SELECT FROM embedding WHERE collection_id = :collection {of_kind} LIMIT :rows"
    with engine.connect() as connection:
        counted = connection.execute(
            text(f"SELECT count(*) FROM ({some})"),  # noqa: S608 - constants
            {"collection": info.id, "rows": rows},
        )
        return bool(counted.scalar_one() >= rows)


@contextmanager
def _noted(undone: list[str], what: str) -> Iterator[None]:
    """Turn a failure of the block into a sentence: an index run that succeeded must not fail for it."""
    try:
        yield
    except (CtsearchError, DBAPIError, psycopg.Error) as error:
        original = error.orig if isinstance(error, DBAPIError) and error.orig else error
        undone.append(f"{what}: {first_line(original)}")


# Pages are counted now; the server's own counts of changed rows come up to a minute late.
_CHANGED = """
SELECT relname
FROM unnest(%(tables)s::text[]) AS asked (name) JOIN pg_class ON pg_class.oid = to_regclass(asked.name),
    LATERAL (SELECT pg_relation_size(pg_class.oid) / current_setting('block_size')::int AS pages) AS present
WHERE pages - relallvisible > %(share)s * pages
ORDER BY relname
"""
