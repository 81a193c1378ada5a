"""Where uploads lie (web/jobs takes them in), and how a patient's bytes in them go when the patient does."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Literal

from sqlalchemy import text
from sqlalchemy.engine import Connection

from encoders.errors import StorageError
from retrieval.database_address import home_path
from retrieval.kept_views import forget_views
from retrieval.sources import SERIES_MARK, volume_sources

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

FILES = "files"  # of an upload: what it holds of CTs


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedVolumes:
    """Where volumes of a patient or study lie in uploads: single files, DICOM series, whole uploads."""

    files: tuple[Path, ...] = ()
    series: tuple[tuple[Path, str], ...] = ()  # folder, series UID
    asked_by: tuple[str, ...] = ()  # ids of uploads of the same bytes, that somebody asked by


def uploads_folder() -> Path:
    """Return the folder of all uploads, whether it is there or not."""
    return home_path() / "uploads"


def uploaded_volumes(
    connection: Connection, kind: Literal["patient", "study"], name: str, key: "PseudonymKey | None"
) -> UploadedVolumes:
    """Return what uploads hold of a patient or study, as long as the archive knows it.

    Args:
        connection: to the archive.
        kind: what the name is of.
        name: as the archive has it, or "dataset/name".
        key: opens where volumes came from.
    """
    rows = connection.execute(text(_VOLUMES.format(kind=kind)), {"name": name}).all()
    sources = volume_sources(connection, [row.id for row in rows], key)
    files, series = [], []
    for source in sources.values():
        path, _, uid = source.uri.partition(SERIES_MARK)
        if Path(path).is_relative_to(uploads_folder()):
            (series.append((Path(path), uid)) if uid else files.append(Path(path)))
    contents = [row.sha256 for row in rows if row.sha256 is not None]
    asked_by = connection.execute(text(_ASKED_BY), {"contents": contents}).scalars()
    return UploadedVolumes(files=tuple(files), series=tuple(series), asked_by=tuple(asked_by))


def forget_uploads(connection: Connection, found: UploadedVolumes) -> None:
    """Delete the bytes of volumes that were removed, and every upload that is empty then.

    Args:
        connection: in a transaction.
        found: before they were removed.

    Raises:
        StorageError: a file cannot be deleted.
    """
    from retrieval.reading import shown_content  # readers of files, which no search should wait for

    paths = [*found.files, *(path for folder, uid in found.series for path in _of_series(folder, uid))]
    try:
        for path in paths:
            path.unlink(missing_ok=True)
        folders = {path.parent for path in paths}
        empty = {folder.parent.name for folder in folders if folder.is_dir() and not any(folder.iterdir())}
        gone = sorted(empty | set(found.asked_by))
        for upload_id in gone:
            with suppress(FileNotFoundError):
                rmtree(uploads_folder() / upload_id)
    except OSError as error:
        raise StorageError(
            f"an upload in {uploads_folder()} cannot be deleted ({error.strerror}): delete it yourself"
        ) from error
    deleted = connection.execute(
        text("DELETE FROM upload WHERE id = ANY(:ids) RETURNING sha256"), {"ids": gone}
    )
    forget_views(shown_content(bytes(sha256)) for sha256 in deleted.scalars().all())


def _of_series(folder: Path, uid: str) -> Iterable[Path]:
    from encoders.dicom_headers import read_header

    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if read_header(path).series_uid == uid]


_VOLUMES = """
SELECT volume.id, source_file.sha256 FROM volume
JOIN study ON study.id = volume.study_id JOIN patient ON patient.id = study.patient_id
LEFT JOIN source_file ON source_file.volume_id = volume.id
WHERE {kind}.name = :name OR {kind}.dataset || '/' || {kind}.name = :name
"""
_ASKED_BY = "SELECT DISTINCT upload_id FROM upload_latent WHERE content = ANY(CAST(:contents AS bytea[]))"
