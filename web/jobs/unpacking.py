"""What was sent becomes files of CTs: a zip is unpacked, everything gets a name of ours, the rest is left."""

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from encoders.errors import InputError, StorageError
from retrieval.kept_uploads import FILES
from web.jobs.file_kinds import ENDINGS, LOOKED_AT, FileKind, is_archive, kind_of, kind_of_start
from web.jobs.report import Report
from web.jobs.upload_folders import upload_folder
from web.jobs.zip_check import check_sizes, checked_zip
from web.settings import WebSettings

_BLOCK = 1 << 20
Told = Callable[[int, int], None]


def unpack_upload(upload_id: str, settings: WebSettings, report: Report) -> list[Path]:
    """Return the CT files of a job's upload; see `unpack`."""
    report.say("received", "unpacking")
    return unpack(
        upload_folder(upload_id),
        largest_bytes=settings.largest_unpacked_bytes,
        most_files=settings.largest_upload_files,
        told=lambda done, total: report.say("received", "unpacking", done, total),
    )


def unpack(folder: Path, *, largest_bytes: int, most_files: int, told: Told) -> list[Path]:
    """Return the CT files of an upload, unpacked first where it is a zip; once done, it is not done again.

    Args:
        folder: of the upload.
        largest_bytes: that may come of it.
        most_files: that it may hold.
        told: is called with how many of how many files are through.

    Raises:
        InputError: it holds no CT, or is a zip that is not taken.
        TooLargeError: it unpacks to more than may be.
        StorageError: the disk is full.
    """
    done = folder / FILES
    if not done.exists() and not (folder / "sent").exists():
        raise InputError("the bytes of the upload are gone: upload it again")
    if not done.exists():
        part = folder / "files.part"
        shutil.rmtree(part, ignore_errors=True)  # of a worker that was killed
        part.mkdir(mode=0o700)
        try:
            _bring(folder / "sent", part, folder.name, largest_bytes, most_files, told)
            part.rename(done)
        except OSError as error:
            raise StorageError(
                f"the upload cannot be unpacked ({error.strerror or error}): ask the operator for disk space"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder / "sent", ignore_errors=True)
    return sorted(done.iterdir())


def _bring(sent: Path, part: Path, upload_id: str, largest_bytes: int, most_files: int, told: Told) -> None:
    files = sorted(sent.iterdir())
    archives = [path for path in files if kind_of(path) == "zip"]
    if archives and len(files) > 1:
        raise InputError("a zip came with other files: send one zip, or the files of one CT")
    if archives:
        brought = _unpack_zip(archives[0], part, upload_id, largest_bytes, most_files, told)
    else:
        brought = 0
        for number, path in enumerate(files, start=1):
            kind = kind_of(path)
            if kind is not None:
                brought += 1
                (part / _name(upload_id, brought, kind)).hardlink_to(path)  # it stays until all are there
            told(number, len(files))
    if not brought:
        raise InputError("it holds no CT: send .nii, .nii.gz, .nrrd, or DICOM as files or as a zip")


def _unpack_zip(
    path: Path, part: Path, upload_id: str, largest_bytes: int, most_files: int, told: Told
) -> int:
    entries = checked_zip(path, largest_bytes=largest_bytes, most_files=most_files)
    packed, unpacked, brought = path.stat().st_size, 0, 0
    try:
        with zipfile.ZipFile(path) as archive:
            for number, entry in enumerate(entries, start=1):
                with archive.open(entry) as stream:
                    start = stream.read(LOOKED_AT)
                    kind = kind_of_start(start)
                    if is_archive(start):
                        raise InputError("the zip holds another archive: send the files in it, unpacked once")
                    if kind is not None:
                        brought += 1
                        target = part / _name(upload_id, brought, kind)
                        for count in _copy(start, stream, target):
                            unpacked += count
                            check_sizes(unpacked, packed, largest_bytes)
                told(number, len(entries))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"the zip is damaged ({error}): make it again") from error
    return brought


def _copy(start: bytes, stream: IO[bytes], target: Path) -> Iterator[int]:
    with target.open("xb") as out:
        block = start
        while block:
            out.write(block)
            yield len(block)
            block = stream.read(_BLOCK)


def _name(upload_id: str, number: int, kind: FileKind) -> str:
    """Name a file so that an archive knows it by its upload, whatever its sender called it."""
    return f"{upload_id}-{number:05}{ENDINGS[kind]}"
