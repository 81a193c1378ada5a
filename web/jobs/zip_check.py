"""Looks at a zip's directory before anything is unpacked: names, kinds, sizes."""

import re
import stat
import struct
import zipfile
from pathlib import Path

from encoders.errors import InputError
from web.problems import TooLargeError

LARGEST_RATIO = 200  # of unpacked to packed; a CT gives 2 to 5, one drawn on a constant ground 50
FREE_BYTES = 64 << 20  # whose ratio nobody asks for
_LARGEST_DIRECTORY = 16 << 20
_DRIVE = re.compile(r"^[A-Za-z]:")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_ZIP64_LOCATOR = 20
_TAIL = (1 << 16) + _END.size


def checked_zip(path: Path, *, largest_bytes: int, most_files: int) -> list[zipfile.ZipInfo]:
    """Return the files of a zip, none of which is anything but a plain file at a plain place.

    Args:
        path: of the zip.
        largest_bytes: of all its files together, as it says itself.
        most_files: in it.

    Raises:
        InputError: it is damaged, encrypted, or an entry is a link, a device, or placed outside.
        TooLargeError: it is beyond the limits, or packed more densely than any CT.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise InputError(f"the zip is damaged ({error}): make it again") from error
    if len(entries) > most_files:
        raise TooLargeError(
            f"the zip holds {len(entries)} files, this server takes {most_files}: send one CT"
        )
    seen: set[str] = set()
    for entry in entries:
        fault = _fault_of(entry) or (entry.filename.casefold() in seen and "is in it twice")
        if fault:
            raise InputError(f"the zip cannot be taken: {_shown(entry)} {fault}; make it again without")
        seen.add(entry.filename.casefold())
    files = [entry for entry in entries if not entry.is_dir()]
    check_sizes(sum(entry.file_size for entry in files), path.stat().st_size, largest_bytes)
    return files


def check_sizes(unpacked: int, packed: int, largest_bytes: int) -> None:
    """Refuse what unpacks to too much, by what it says or by what came of it.

    Raises:
        TooLargeError: it does.
    """
    if unpacked > largest_bytes:
        raise TooLargeError(
            f"the zip unpacks to more than {largest_bytes / 2**20:,.0f} MB, which is all this server takes"
        )
    if unpacked > FREE_BYTES and unpacked > LARGEST_RATIO * packed:
        raise TooLargeError(
            f"the zip unpacks to more than {LARGEST_RATIO} times its size, which no CT does: send the files"
        )


def _fault_of(entry: zipfile.ZipInfo) -> str | None:
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    is_archive = name.lower().endswith(_ARCHIVES) and not name.lower().endswith(".nii.gz")
    faults = {
        "is no relative path": not name or name.startswith("/") or bool(_DRIVE.match(name)),
        "has signs in its name that no path has": "\0" in name or "\\" in name,
        "leads out of its folder": ".." in name.split("/"),
        "is a symbolic link": kind == stat.S_IFLNK,
        "is no plain file": kind not in (0, stat.S_IFLNK, stat.S_IFREG, stat.S_IFDIR),
        "is an archive itself": is_archive,
        "is encrypted": bool(entry.flag_bits & _ENCRYPTED),
        "is compressed in a way that is not taken": entry.compress_type not in _METHODS,
    }
    return next((fault for fault, found in faults.items() if found), None)


def _check_directory(path: Path) -> None:
    """Refuse a directory that would fill the memory; zipfile reads it whole."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - _TAIL - _ZIP64_LOCATOR))
        tail = stream.read()
    place = tail.rfind(_END_MARK)
    if place < 0 or len(tail) - place < _END.size:
        raise InputError("the zip is damaged or cut short: make it again")
    _, _, _, _, _, directory_bytes, _, _ = _END.unpack_from(tail, place)
    is_zip64 = tail[max(0, place - _ZIP64_LOCATOR) :].startswith(b"PK\x06\x07")
    if directory_bytes > _LARGEST_DIRECTORY or (is_zip64 and _zip64_directory_bytes(path, tail, place)):
        raise TooLargeError("the zip lists more files than any CT has: send one CT")


def _zip64_directory_bytes(path: Path, tail: bytes, place: int) -> bool:
    """Whether the directory that a zip64 names is too large."""
    (offset,) = struct.unpack_from("<Q", tail, place - _ZIP64_LOCATOR + 8)
    with path.open("rb") as stream:
        stream.seek(min(offset, path.stat().st_size))
        record = stream.read(56)
    if len(record) < 56:
        raise InputError("the zip is damaged or cut short: make it again")
    directory_bytes: int = struct.unpack_from("<Q", record, 40)[0]
    return directory_bytes > _LARGEST_DIRECTORY


def _shown(entry: zipfile.ZipInfo) -> str:
    return repr(entry.orig_filename[:80])
