"""Where a case came from: its file's own path, and the way from a hospital's names to a pseudonymised case.

Paths of sources declared anonymous stand beside the volume. Those of others are sealed in identity_link and
open with the archive's key alone; whoever opens them writes so into the audit.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from encoders.errors import ConfigError
from retrieval.neighbours import among, listed
from retrieval.schema import IdentityLink, SourceFile, Volume
from retrieval.volume_names import without_ending

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

SERIES_MARK = "#"  # between a folder and the UID of one of its DICOM series
_LOOKED_AT = 2000  # identities opened at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a volume's voxels are, as its reader names it; `is_sealed` if only the key tells."""

    uri: str
    is_sealed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """A study, or a volume of it, that a name of the hospital leads to."""

    study_id: int
    volume: str | None
    what: str  # which name it is: path, series_uid, accession, patient_id and the like


def volume_sources(
    connection: Connection, volume_ids: Iterable[int], key: "PseudonymKey | None"
) -> dict[int, Source]:
    """Return where volumes came from, as far as this machine may know.

    Args:
        connection: to the archive.
        volume_ids: of which volumes.
        key: opens sealed identities; without it, or with another archive's, they are left out.
    """
    found = connection.execute(_FILES, {"ids": sorted(volume_ids)}).all()
    sealed = {study_id for _, _, study_id, uri in found if uri is None}
    identities = open_identities(connection, sealed, key)
    sources = {}
    for volume_id, name, study_id, uri in found:
        hidden = _uri(identities.get(study_id, {}), name)
        if uri is not None:
            sources[volume_id] = Source(uri=uri, is_sealed=False)
        elif hidden is not None:
            sources[volume_id] = Source(uri=hidden, is_sealed=True)
    return sources


def series_files(uri: str) -> tuple[Path, ...] | None:
    """Return the files of the DICOM series that a source names.

    Returns:
        None if it names no series of a folder that is there; no files if the series is gone.
    """
    folder, mark, series_uid = uri.rpartition(SERIES_MARK)
    if not mark or not Path(folder).is_dir():
        return None
    from encoders.dicom import find_series

    named = (series for series in find_series(Path(folder)).series if series.series_uid == series_uid)
    return next((tuple(series.paths) for series in named), ())


def open_identities(
    connection: Connection, study_ids: Iterable[int], key: "PseudonymKey | None"
) -> dict[int, Mapping[str, str]]:
    """Open what identity_link keeps of some studies; those of another key are left out."""
    if key is None:
        return {}
    rows = select(IdentityLink.study_id, IdentityLink.sealed).where(among(IdentityLink.study_id, study_ids))
    opened = {study_id: _opened(key, sealed) for study_id, sealed in connection.execute(rows)}
    return {study_id: identity for study_id, identity in opened.items() if identity is not None}


def find_identified(connection: Connection, name: str, key: "PseudonymKey | None") -> list[Identified]:
    """Return what the hospital calls by a name: a path or file name, an accession, a patient, a UID.

    Every identity is opened for it, some 30,000 a second.
    """
    if key is None:
        return []
    wanted = {name, without_ending(name), str(Path(name).absolute())}
    rows = connection.execution_options(yield_per=_LOOKED_AT).execute(
        select(IdentityLink.study_id, IdentityLink.sealed).order_by(IdentityLink.study_id)
    )
    found = []
    for study_id, sealed in rows:
        for entry, value in (_opened(key, sealed) or {}).items():
            if value in wanted or (entry.endswith(".path") and Path(value).name == name):
                volume, dot, what = entry.rpartition(".")
                found.append(Identified(study_id=study_id, volume=volume if dot else None, what=what))
    return found


def _uri(identity: Mapping[str, str], volume: str) -> str | None:
    path, series = identity.get(f"{volume}.path"), identity.get(f"{volume}.series_uid")
    return path if path is None or series is None else f"{path}{SERIES_MARK}{series}"


def _opened(key: "PseudonymKey", sealed: bytes) -> dict[str, Any] | None:
    try:
        identity = json.loads(key.decrypt(sealed))
    except ConfigError:
        return None
    return identity if isinstance(identity, dict) else None


_FILES = (
    select(Volume.id, Volume.name, Volume.study_id, SourceFile.uri)
    .outerjoin(SourceFile, SourceFile.volume_id == Volume.id)
    .where(listed(Volume.id))
)
