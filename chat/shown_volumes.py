"""The volumes that a backend is shown: a CT in hand, or those that named cases were indexed from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError, VolumeError
from retrieval.cases import VolumeFile
from retrieval.hospital_names import find_case_by_any_name
from retrieval.named_cases import StoredCase
from retrieval.questions import volume_file
from retrieval.schema import SourceFile, Volume
from retrieval.sources import series_files, volume_sources

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

_PHANTOM = "phantom:"
_GIVE_IT = "give its file with --volume"


def named_volumes(
    connection: Connection, names: Sequence[str], key: "PseudonymKey | None"
) -> tuple[VolumeFile, ...]:
    """Return where the voxels of named cases are, in their order; of a study, those of its first volume.

    Args:
        connection: to the archive.
        names: of volumes or studies, by any name.
        key: opens paths that are sealed.

    Raises:
        SearchError: a case is not there, or the archive does not know where its voxels are.
        VolumeError: they are no longer there.
    """
    return tuple(_stored(connection, find_case_by_any_name(connection, name, key), key) for name in names)


def _stored(connection: Connection, case: StoredCase, key: "PseudonymKey | None") -> VolumeFile:
    name = case.volume or case.study
    mine: ColumnElement[bool] = Volume.study_id == case.study_id
    if case.volume_id is not None:
        mine = Volume.id == case.volume_id
    rows = (
        select(Volume.id, SourceFile.rescale_source)
        .join(SourceFile, SourceFile.volume_id == Volume.id)
        .where(mine)
        .order_by(Volume.name.collate("C"))
        .limit(1)
    )
    first = connection.execute(rows).first()
    source = None if first is None else volume_sources(connection, [first[0]], key).get(first[0])
    if first is None or source is None:
        raise SearchError(f"the archive does not know where the voxels of {name} are: {_GIVE_IT}")
    if first[1] == "metadata":
        raise SearchError(
            f"{name} is in Hounsfield units only by a metadata table, which the archive does not keep: give "
            "--volume with a file that is so by itself"
        )
    return _file(source.uri, name)


def _file(uri: str, name: str) -> VolumeFile:
    if uri.startswith(_PHANTOM):
        return VolumeFile(kind="phantom", uri=uri)
    files = series_files(uri)
    if files:
        return VolumeFile(kind="dicom", uri=uri, paths=files)
    if files is not None:
        raise VolumeError(f"the series of {name} is no longer where it was indexed: {_GIVE_IT}")
    if not Path(uri).exists():
        raise VolumeError(f"the file of {name} is no longer where it was indexed: {_GIVE_IT}")
    return volume_file(Path(uri))
