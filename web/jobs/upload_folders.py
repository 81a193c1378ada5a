"""Where uploads lie: a folder of their own below the home, under names that the server chose.

CTSEARCH_HOME/uploads/ID/sent/…     as it came, until it is unpacked
CTSEARCH_HOME/uploads/ID/files/…    what it holds of CTs: ID.nii.gz, or ID-00001.dcm and so on
"""

import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from encoders.errors import StorageError
from retrieval.database_address import home
from retrieval.kept_uploads import uploads_folder

_ID_BYTES = 16
_OUR_NAME = re.compile(r"[0-9a-f]{32}-(\d{5,})(?:\.[a-z.]+[a-z])?")
_LEAST_ROOM = 64 << 20  # is left on the disk, for the database beside


def uploads_home() -> Path:
    """Return the folder of all uploads, made with mode 0700 where it is missing.

    Raises:
        StorageError: it cannot be made.
    """
    home()  # it may be missing too
    folder = uploads_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made ({error.strerror}): check who owns it") from error
    return folder


def upload_folder(upload_id: str) -> Path:
    """Return an upload's folder, whether it is there or not; the id is one that was in the table."""
    return uploads_home() / upload_id


def as_sender_knows_it(sentence: str) -> str:
    """Return a sentence about an upload without the names that the server gave its files."""
    return _OUR_NAME.sub(lambda found: f"file {int(found[1])} of the upload", sentence)


def new_upload() -> tuple[str, Path]:
    """Return a new id, not to be guessed, and its folder, made with mode 0700.

    Raises:
        StorageError: it cannot be made.
    """
    upload_id = secrets.token_hex(_ID_BYTES)
    folder = upload_folder(upload_id)
    try:
        folder.mkdir(mode=0o700)
        (folder / "sent").mkdir(mode=0o700)
    except OSError as error:
        raise StorageError(f"no upload can be stored ({error.strerror}): free some disk space") from error
    return upload_id, folder


def check_disk(bytes_to_come: int) -> None:
    """Refuse what would fill the disk.

    Raises:
        StorageError: there is no room for it.
    """
    free = shutil.disk_usage(uploads_home()).free
    if free - bytes_to_come < _LEAST_ROOM:
        raise StorageError(
            f"the disk of the server has {free >> 20} MB left, too little for this upload: ask its operator"
        )


def delete_folder(folder: Path) -> None:
    """Delete an upload's bytes; one that is gone already is no error.

    Raises:
        StorageError: it cannot be deleted.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{folder} cannot be deleted ({error.strerror}): check who owns it") from error


def abandoned_folders(known: set[str], idle_s: float) -> list[Path]:
    """Return folders without a row in which nothing has changed for a while: their server was killed."""
    limit = time.time() - idle_s
    return [
        folder
        for folder in uploads_home().iterdir()
        if folder.is_dir() and folder.name not in known and _last_change(folder) < limit
    ]


def _last_change(folder: Path) -> float:
    changes = [folder.stat().st_mtime]
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            changes.append(path.stat().st_mtime)
    return max(changes)
