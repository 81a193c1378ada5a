"""How the collections of an archive stand: rows, size, indexes, and what became of index runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection

from retrieval.latent_indexes import HnswState, hnsw_states
from retrieval.named_cases import LatentKind
from retrieval.records import CollectionInfo
from retrieval.schema import partition_name
from retrieval.snapshots import Snapshots, SnapshotState
from retrieval.store_collections import collections_without_counts
from retrieval.store_runs import RunStatus, last_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionStatus:
    """A collection as `ctsearch db status` shows it."""

    name: str
    encoder: str
    latent_dim: int
    size_bytes: int  # latents and their indexes
    rows: Mapping[LatentKind, int]
    hnsw: Mapping[LatentKind, HnswState]
    snapshot: SnapshotState  # of this home
    runs: tuple[RunStatus, ...]  # newest first

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "name": self.name,
            "encoder": self.encoder,
            "latent_dim": self.latent_dim,
            "size_bytes": self.size_bytes,
            "volumes": self.rows["volume"],
            "reports": self.rows["report"],
            "hnsw": {kind: state.to_json() for kind, state in self.hnsw.items()},
            "snapshot": self._snapshot_json(),
            "runs": [run.to_json() for run in self.runs],
        }

    def _snapshot_json(self) -> dict[str, Any]:
        held = self.snapshot
        return {
            "state": "missing" if held.problem else "behind" if held.behind else "current",
            "kind": held.kind,
            "built": held.built,
            "rows": held.count,
            "behind": held.behind,
            "size_bytes": held.size_bytes,
            "built_at": None if held.built_at is None else held.built_at.isoformat(),
            "problem": held.problem,
        }


def collection_statuses(engine: Engine) -> list[CollectionStatus]:
    """Return every collection's status, by name; nothing is changed."""
    snapshots = Snapshots(engine)
    with engine.connect() as connection:
        found = collections_without_counts(connection)
        return [_status(connection, info, snapshots) for info in found]


def _status(connection: Connection, info: CollectionInfo, snapshots: Snapshots) -> CollectionStatus:
    row = connection.execute(
        text(_SIZES), {"collection": info.id, "partition": partition_name(info.id)}
    ).one()
    return CollectionStatus(
        name=info.name,
        encoder=info.encoder,
        latent_dim=info.latent_dim,
        size_bytes=row.size,
        rows={"volume": row.volumes, "report": row.reports},
        hnsw=hnsw_states(connection, info),
        snapshot=snapshots.state(connection, info),
        runs=tuple(last_runs(connection, info)),
    )


# One count a kind, not one of both: each is then answered by that kind's unique index alone.
_SIZES = """
SELECT coalesce(pg_total_relation_size(to_regclass(:partition)), 0) AS size,
    (SELECT count(*) FROM embedding WHERE collection_id = :collection AND volume_id IS NOT NULL) AS volumes,
    (SELECT count(*) FROM embedding WHERE collection_id = :collection AND report_id IS NOT NULL) AS reports
"""
