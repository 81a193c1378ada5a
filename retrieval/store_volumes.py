"""Volumes and the files they were read from."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from encoders.errors import DatasetError
from retrieval.cases import Acquisition, Case, Volume
from retrieval.records import FileRow, storable
from retrieval.store_rows import copy_rows, stored_or_reserved

_COLUMNS = {  # of Acquisition and of the table, with their types
    "sex": "text",
    "age_years": "double precision",
    "manufacturer": "text",
    "model": "text",
    "kernel": "text",
    "slice_mm": "double precision",
    "pixel_mm": "double precision",
    "other": "jsonb",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedVolumes:
    """Ids by (dataset, volume), and which rows were written."""

    ids: dict[tuple[str, str], int]
    new: frozenset[int]
    changed: frozenset[int]
    changed_studies: frozenset[int]


def save_volumes(
    connection: Connection, cases: Sequence[Case], study_ids: Mapping[tuple[str, str], int]
) -> SavedVolumes:
    """Write new and changed volumes; an acquisition that says nothing at all leaves the stored one.

    Args:
        connection: in a transaction.
        cases: whose volumes are meant; one that comes twice keeps what is said last.
        study_ids: by (dataset, study).

    Raises:
        DatasetError: one volume is named in two studies.
    """
    given = _distinct(cases, study_ids)
    if not given:
        return SavedVolumes(ids={}, new=frozenset(), changed=frozenset(), changed_studies=frozenset())
    ids, new = stored_or_reserved(connection, "volume", sorted(given))
    _copy_new(connection, {key: given[key] for key in sorted(new)}, ids)
    rows = [
        {
            "study_id": study_id,
            "dataset": dataset,
            "name": name,
            **dict(zip(_COLUMNS, _values(volume.acquisition), strict=True)),
            "silent": volume.acquisition == Acquisition(),
        }
        for (dataset, name), (study_id, volume) in given.items()
        if (dataset, name) not in new
    ]
    written = connection.execute(text(_SAVE), {"rows": json.dumps(rows)}).all() if rows else []
    ids |= {(dataset, name): volume_id for dataset, name, volume_id, _, _ in written}
    changed = frozenset(volume_id for _, _, volume_id, _, is_new in written if not is_new)
    if changed:
        connection.execute(text(_FOLLOW_STUDY), {"volumes": sorted(changed)})
    return SavedVolumes(
        ids=ids,
        new=frozenset(ids[key] for key in new),
        changed=changed,
        changed_studies=frozenset(study_id for _, _, _, study_id, is_new in written if not is_new),
    )


def _copy_new(
    connection: Connection,
    given: Mapping[tuple[str, str], tuple[int, Volume]],
    ids: Mapping[tuple[str, str], int],
) -> None:
    rows = (
        (ids[key], study_id, *key, *_values(volume.acquisition)) for key, (study_id, volume) in given.items()
    )
    copy_rows(connection, "volume", ("id", "study_id", "dataset", "name", *_COLUMNS), rows)


def known_files(connection: Connection, volume_ids: Sequence[int]) -> dict[int, FileRow]:
    """Return the files that volumes were last read from, by volume; those never read are missing."""
    rows = connection.execute(
        text(
            "SELECT volume_id, uri, size, mtime_ns, sha256, rescale_source FROM source_file "
            "WHERE volume_id = ANY(:ids)"
        ),
        {"ids": list(volume_ids)},
    )
    return {row.volume_id: FileRow(**row._mapping) for row in rows}


def save_files(connection: Connection, files: Sequence[FileRow]) -> None:
    """Write what volumes were read from; a volume that was removed meanwhile is passed over."""
    by_volume = {row.volume_id: row for row in files}
    rows = [by_volume[volume_id] for volume_id in sorted(by_volume)]
    connection.execute(
        text(_SAVE_FILES),
        {
            "volumes": [row.volume_id for row in rows],
            "uris": [None if row.uri is None else storable(row.uri) for row in rows],
            "sizes": [row.size for row in rows],
            "times": [row.mtime_ns for row in rows],
            "digests": [row.sha256 for row in rows],
            "rescales": [row.rescale_source for row in rows],
        },
    )


def same_content(connection: Connection, sha256: bytes, except_volume: int | None) -> list[str]:
    """Return the names of volumes that were read from equal bytes."""
    return list(
        connection.execute(
            text(
                "SELECT volume.name FROM volume JOIN source_file ON source_file.volume_id = volume.id "
                "WHERE sha256 = :sha256 AND volume.id IS DISTINCT FROM CAST(:except_volume AS bigint) "
                "ORDER BY volume.dataset, volume.name"
            ),
            {"sha256": sha256, "except_volume": except_volume},
        ).scalars()
    )


def _distinct(
    cases: Sequence[Case], study_ids: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], tuple[int, Volume]]:
    given: dict[tuple[str, str], tuple[int, Volume]] = {}
    for case in cases:
        dataset = storable(case.dataset)
        study_id = study_ids[dataset, storable(case.study)]
        for volume in case.volumes:
            key = (dataset, storable(volume.name))
            if key in given and given[key][0] != study_id:
                raise DatasetError(
                    f"the volume {volume.name} is in two studies of {dataset}, {case.study} and another: "
                    "a volume's name must be its own; rename one of the files"
                )
            given[key] = (study_id, volume)
    return given


def _values(said: Acquisition) -> tuple[Any, ...]:
    """Return what a table row takes, in the order of `_COLUMNS`."""
    return (
        said.sex,
        _finite(said.age_years),
        _text(said.manufacturer),
        _text(said.model),
        _text(said.kernel),
        _finite(said.slice_mm),
        _finite(said.pixel_mm),
        json.dumps({storable(str(name)): storable(str(value)) for name, value in said.other.items()})
        if said.other
        else "{}",
    )


def _text(value: str | None) -> str | None:
    return None if value is None else storable(value)


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def _listed(pattern: str) -> str:
    return ", ".join(pattern.format(column=column, type=kind) for column, kind in _COLUMNS.items())


_SAVE = f"""
INSERT INTO volume AS stored (study_id, dataset, name, {_listed("{column}")})
SELECT given.study_id, given.dataset, given.name,
    {_listed("CASE WHEN given.silent AND old.id IS NOT NULL THEN old.{column} ELSE given.{column} END")}
FROM (
    SELECT study_id, dataset, name, silent, {_listed("CAST({column} AS {type}) AS {column}")}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS given (study_id bigint, dataset text, name text, silent boolean, {_listed("{column} text")})
) AS given
LEFT JOIN volume AS old ON old.dataset = given.dataset AND old.name = given.name
WHERE old.id IS NULL OR old.study_id <> given.study_id OR NOT given.silent
    AND ({_listed("old.{column}")}) IS DISTINCT FROM ({_listed("given.{column}")})
ORDER BY given.dataset, given.name
ON CONFLICT (dataset, name) DO UPDATE
SET (study_id, {_listed("{column}")}) = (excluded.study_id, {_listed("excluded.{column}")})
WHERE (stored.study_id, {_listed("stored.{column}")}) IS DISTINCT FROM
    (excluded.study_id, {_listed("excluded.{column}")})
RETURNING stored.dataset, stored.name, stored.id, stored.study_id, stored.xmax = 0
"""  # noqa: S608 - columns of ours

_FOLLOW_STUDY = """
UPDATE embedding SET study_id = volume.study_id, written_by = pg_current_xact_id()
FROM volume
WHERE volume.id = embedding.volume_id AND volume.id = ANY(:volumes) AND volume.study_id <> embedding.study_id
"""

_SAVE_FILES = """
INSERT INTO source_file AS stored (volume_id, uri, size, mtime_ns, sha256, rescale_source)
SELECT volume.id, given.uri, given.size, given.mtime_ns, given.sha256, given.rescale_source
FROM unnest(CAST(:volumes AS bigint[]), CAST(:uris AS text[]), CAST(:sizes AS bigint[]),
    CAST(:times AS bigint[]), CAST(:digests AS bytea[]), CAST(:rescales AS text[]))
    AS given (volume_id, uri, size, mtime_ns, sha256, rescale_source)
JOIN volume ON volume.id = given.volume_id
ORDER BY volume.id
ON CONFLICT (volume_id) DO UPDATE
SET (uri, size, mtime_ns, sha256, rescale_source) =
    (excluded.uri, excluded.size, excluded.mtime_ns, excluded.sha256, excluded.rescale_source)
"""
