"""Uploads as the table has them: kept, found, shown to whom they belong, removed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection, Row

from encoders.errors import InputError
from retrieval.cases import VolumeFile
from retrieval.kept_uploads import FILES
from retrieval.kept_views import forget_views
from retrieval.postgres_errors import database_errors
from retrieval.reading import shown_content
from retrieval.records import storable
from web.access.caller import Caller
from web.jobs.file_kinds import kind_of
from web.jobs.receiving import Received, ReceivedFile
from web.jobs.upload_folders import delete_folder, upload_folder
from web.jobs.zip_check import checked_zip
from web.problems import ConflictError, NotFoundError
from web.settings import WebSettings

_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadView:
    """An upload for whom it belongs to; `name` is what the sender called it."""

    id: str
    actor: str
    name: str
    size: int  # bytes, as sent
    sha256: bytes
    volume: dict[str, Any] | None
    created_at: datetime
    indexed_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """What the API answers."""
        return {
            "upload": self.id,
            "name": self.name,
            "size": self.size,
            "created_at": self.created_at.isoformat(),
            "indexed_at": None if self.indexed_at is None else self.indexed_at.isoformat(),
        }


def own_upload(engine: Engine, upload_id: str, caller: Caller) -> UploadView:
    """Return an upload of the caller's; admins may see all.

    Raises:
        NotFoundError: there is none, or it is another's.
    """
    with database_errors(), engine.connect() as connection:
        found = upload_of(connection, upload_id)
    if found is None or (found.actor != caller.name and not caller.may("admin")):
        raise NotFoundError("there is no such upload of yours: it was removed, has expired, or is another's")
    return found


def own_uploads(engine: Engine, caller: Caller) -> list[UploadView]:
    """Return the caller's newest uploads."""
    where = "WHERE actor = :actor ORDER BY created_at DESC LIMIT :limit"
    with database_errors(), engine.connect() as connection:
        rows = connection.execute(text(f"{_SELECT} {where}"), {"actor": caller.name, "limit": _SHOWN}).all()
    return [_view(row) for row in rows]


def upload_of(connection: Connection, upload_id: str) -> UploadView | None:
    """Return an upload, or None."""
    row = connection.execute(text(f"{_SELECT} WHERE id = :id"), {"id": storable(upload_id)}).one_or_none()
    return None if row is None else _view(row)


def volume_of_upload(upload: UploadView) -> VolumeFile:
    """Return the files that hold the volume of an upload.

    Raises:
        ConflictError: it was not read yet.
    """
    if upload.volume is None:
        raise ConflictError("the upload has not been read yet: wait for its job")
    folder = upload_folder(upload.id) / FILES
    paths = tuple(folder / name for name in upload.volume["files"])
    kind = upload.volume["kind"]
    return VolumeFile(kind=kind, uri=str(folder if kind == "dicom" else paths[0]), paths=paths)


def check_received(received: Received, settings: WebSettings) -> None:
    """Refuse what holds no CT or is not taken, as far as the first bytes and a zip's directory tell.

    Raises:
        InputError: it does not.
        TooLargeError: a zip says that it unpacks to too much.
    """
    if not received.files:
        raise InputError("nothing was sent, or only empty files: choose a CT")
    kinds = [kind_of(file.path) for file in received.files]
    if not any(kinds):
        shown = received.files[0].name or "the file"
        raise InputError(f"{shown[:80]!r} is no CT: send .nii, .nii.gz, .nrrd, or DICOM as files or as a zip")
    if "zip" in kinds and len(kinds) > 1:
        raise InputError("a zip came with other files: send one zip, or the files of one CT")
    if kinds == ["zip"]:
        checked_zip(
            received.files[0].path,
            largest_bytes=settings.largest_unpacked_bytes,
            most_files=settings.largest_upload_files,
        )


def keep_upload(engine: Engine, upload_id: str, actor: str, files: Sequence[ReceivedFile]) -> str:
    """Write an upload's row; of the same bytes by the same actor, the one there is. Returns its id.

    What was received a second time is deleted; it then expires as if it were new.
    """
    values = {
        "id": upload_id,
        "actor": actor,
        "name": name_of(files),
        "size": sum(file.size for file in files),
        "sha256": _digest_of(files),
    }
    with database_errors(), engine.begin() as connection:
        kept = str(connection.execute(_KEEP, values).scalar_one())
    if kept != upload_id:
        again = upload_folder(upload_id)
        if upload_folder(kept).exists():
            delete_folder(again)
        else:
            again.rename(upload_folder(kept))  # somebody had deleted the bytes
    return kept


def remove_upload(engine: Engine, upload_id: str) -> None:
    """Delete an upload: its bytes, its latents, its jobs, what is kept of it to be looked at.

    Raises:
        StorageError: the bytes cannot be deleted; the rows are kept until they can.
    """
    delete_folder(upload_folder(upload_id))
    with database_errors(), engine.begin() as connection:
        gone = connection.execute(
            text("DELETE FROM upload WHERE id = :id RETURNING sha256"), {"id": upload_id}
        ).scalars()
        contents = [shown_content(bytes(sha256)) for sha256 in gone]
    forget_views(contents)


def name_of(files: Sequence[ReceivedFile]) -> str:
    """Return what an upload is called: as its sender called its file, or the folder of its files."""
    first = files[0].name or "unnamed"
    if len(files) == 1:
        return first
    return f"{first.split('/')[0] or first} ({len(files)} files)"


def _digest_of(files: Sequence[ReceivedFile]) -> bytes:
    if len(files) == 1:
        return files[0].sha256
    return hashlib.sha256(b"".join(sorted(file.sha256 for file in files))).digest()


def _view(row: Row[Any]) -> UploadView:
    return UploadView(**{**row._mapping, "sha256": bytes(row.sha256)})


_SELECT = "SELECT id, actor, name, size, sha256, volume, created_at, indexed_at FROM upload"
_KEEP = text(
    "INSERT INTO upload (id, actor, name, size, sha256) VALUES (:id, :actor, :name, :size, :sha256) "
    "ON CONFLICT (actor, sha256) DO UPDATE SET name = excluded.name, created_at = now() RETURNING id"
)
