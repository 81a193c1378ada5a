"""Whose voxels somebody wants to see, and whether they are in reach."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError, UnknownNameError, VolumeError
from retrieval.cases import RescaleRule, VolumeFile
from retrieval.desk_schema import Upload
from retrieval.located_files import located_file
from retrieval.reading import file_sha256, shown_content, stat_file
from retrieval.records import storable
from retrieval.schema import SourceFile, Study, Volume
from retrieval.sources import volume_sources

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

UPLOAD = "upload"
"""The dataset that uploads are addressed by."""

_INDEX_AGAIN = "index it again from where it is now"


class OutOfReachError(SearchError):
    """A volume that the archive knows and whose voxels this machine cannot show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelSource:
    """Where the voxels of a volume are, and what identifies them.

    `content` is a digest of the bytes, as `shown_content` gives it: what is kept of a volume is kept under
    it, and goes with the patient by it.
    """

    dataset: str
    volume: str
    study: str
    content: bytes
    rule: RescaleRule
    sha256: bytes
    uri: str = ""
    is_sealed: bool = False
    size: int = 0
    mtime_ns: int = 0
    file: VolumeFile | None = None  # of an upload, whose bytes lie under the home and do not change

    @property
    def name(self) -> str:
        """The volume's full name."""
        return f"{self.dataset}/{self.volume}"


def voxel_source(
    connection: Connection, dataset: str, volume: str, key: "PseudonymKey | None"
) -> VoxelSource:
    """Return where the voxels of a stored volume are.

    Args:
        connection: to the archive.
        dataset: of the volume.
        volume: its name.
        key: opens a place that is sealed.

    Raises:
        UnknownNameError: there is no such volume.
        OutOfReachError: its voxels cannot be shown from here.
    """
    name = f"{dataset}/{volume}"
    row = connection.execute(_ROW, {"dataset": storable(dataset), "volume": storable(volume)}).first()
    if row is None:
        raise UnknownNameError(f"there is no such volume as {name[:300]!r}: ask for one that a case lists")
    source = volume_sources(connection, [row.id], key).get(row.id)
    if row.sha256 is None:
        raise OutOfReachError(f"voxels of {name} are out of reach: its tables arrived, its file did not")
    if source is None:
        raise OutOfReachError(
            f"voxels of {name} are out of reach: where they lie is sealed, and this machine has not the key"
        )
    if row.rescale_source == "metadata":
        raise OutOfReachError(
            f"voxels of {name} are out of reach: only a metadata table makes them Hounsfield units, and the "
            "archive does not keep it"
        )
    return VoxelSource(
        dataset=dataset,
        volume=volume,
        study=row.study,
        content=shown_content(bytes(row.sha256)),
        rule="none" if row.rescale_source == "none" and not source.uri.startswith("phantom:") else "auto",
        uri=source.uri,
        is_sealed=source.is_sealed,
        size=row.size,
        mtime_ns=row.mtime_ns,
        sha256=bytes(row.sha256),
    )


def upload_source(upload_id: str, sha256: bytes, file: VolumeFile) -> VoxelSource:
    """Return where the voxels of an upload are: the volume `upload/ID`.

    Args:
        upload_id: of the upload.
        sha256: of its bytes as they were sent.
        file: that holds the volume.
    """
    return VoxelSource(
        dataset=UPLOAD,
        volume=upload_id,
        study=upload_id,
        content=shown_content(sha256),
        rule="auto",
        sha256=sha256,
        file=file,
    )


def is_still_there(connection: Connection, source: VoxelSource) -> bool:
    """Whether a volume or upload was not removed since it was looked up."""
    wanted = select(Volume.id).where(Volume.dataset == source.dataset, Volume.name == source.volume)
    if source.dataset == UPLOAD:
        wanted = select(Upload.id).where(Upload.id == source.volume)  # type: ignore[assignment]
    return connection.execute(wanted).first() is not None


def unchanged_file(source: VoxelSource) -> VolumeFile:
    """Return the files of a volume, if they are still those that were indexed.

    Raises:
        OutOfReachError: they are gone, or other ones now.
    """
    if source.file is not None:
        return source.file
    try:
        file = located_file(source.uri, source.name, advice=_INDEX_AGAIN)
        now = stat_file(file)
        if (now.size, now.mtime_ns) == (source.size, source.mtime_ns) or file_sha256(file) == source.sha256:
            return file
    except VolumeError as error:
        hidden = f"its file is no longer where it was indexed or cannot be read: {_INDEX_AGAIN}"
        reason = hidden if source.is_sealed else str(error)
        raise OutOfReachError(f"voxels of {source.name} are out of reach: {reason}") from error
    raise OutOfReachError(
        f"voxels of {source.name} are out of reach: its file has changed since it was indexed; {_INDEX_AGAIN}"
    )


_ROW = (
    select(
        Volume.id,
        Study.name.label("study"),
        SourceFile.sha256,
        SourceFile.rescale_source,
        SourceFile.size,
        SourceFile.mtime_ns,
    )
    .join(Study, Study.id == Volume.study_id)
    .outerjoin(SourceFile, SourceFile.volume_id == Volume.id)
    .where(Volume.dataset == bindparam("dataset"), Volume.name == bindparam("volume"))
)
