"""The volumes that a backend is shown: a CT in hand, or those that named cases were indexed from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.cases import VolumeFile
from retrieval.located_files import located_file
from retrieval.named_cases import StoredCase
from retrieval.schema import SourceFile, Volume
from retrieval.sources import volume_sources

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

_GIVE_IT = "give its file with --volume"


def volumes_of(
    connection: Connection, cases: Sequence[StoredCase], key: "PseudonymKey | None"
) -> tuple[VolumeFile, ...]:
    """Return where the voxels of cases are, in their order; of a study, those of its first volume.

    Args:
        connection: to the archive.
        cases: volumes or studies.
        key: opens paths that are sealed.

    Raises:
        SearchError: the archive does not know where the voxels of a case are.
        VolumeError: they are no longer there.
    """
    return tuple(_stored(connection, case, key) for case in cases)


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
    return located_file(source.uri, name, advice=_GIVE_IT)
