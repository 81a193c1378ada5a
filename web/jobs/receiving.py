"""A body of multipart/form-data goes to disk as it arrives, file by file, under names of our own."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from encoders.errors import InputError, StorageError
from retrieval.records import storable
from web.problems import TooLargeError

_BLOCK = 1 << 20
_LONGEST_FIELD = 4096  # bytes
_LONGEST_NAME = 500  # characters of what a browser calls a file
_MOST_FIELDS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFile:
    """A file as it was sent; `name` is the sender's, a text and never a path."""

    path: Path
    name: str
    size: int
    sha256: bytes


@dataclass(slots=True, kw_only=True)
class Received:
    """A whole body."""

    files: list[ReceivedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of what is taken: bytes of the body, and files in it."""

    body_bytes: int
    files: int


async def receive(chunks: AsyncIterator[bytes], content_type: str, folder: Path, limits: Limits) -> Received:
    """Write the files of a body into a folder; never more than a megabyte of it is in memory.

    Args:
        chunks: the body as it arrives.
        content_type: of the request.
        folder: where files go, as 00001, 00002 and so on.
        limits: beyond which it is refused.

    Raises:
        InputError: it is no such body, or ends in the middle.
        TooLargeError: it is beyond the limits.
        StorageError: the disk is full.
    """
    writer = _Writer(content_type, folder, limits)
    waiting = bytearray()
    try:
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= _BLOCK:
                await run_in_threadpool(writer.take, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(writer.take, bytes(waiting))
        return writer.received()
    finally:
        writer.close()


class _Writer:
    """Takes a body in pieces; the parser calls the methods named on_… when it meets what they say."""

    def __init__(self, content_type: str, folder: Path, limits: Limits) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InputError("an upload is sent as multipart/form-data, with its files in the field `files`")
        self._folder = folder
        self._limits = limits
        self._received = Received()
        self._taken = self._count = 0
        self._is_whole = False
        self._header = self._value = b""
        self._disposition = b""
        self._stream: IO[bytes] | None = None
        self._field: str | None = None
        self._name = ""
        self._content = bytearray()
        self._digest = hashlib.sha256()
        self._size = 0
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise InputError(
                f"the body's boundary will not do ({error}): send multipart/form-data"
            ) from error

    def take(self, block: bytes) -> None:
        """Write a piece of the body."""
        self._taken += len(block)
        if self._taken > self._limits.body_bytes:
            raise too_large(self._limits.body_bytes)
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise InputError(f"the body is no multipart/form-data ({error}): send it again") from error
        except OSError as error:
            raise StorageError(
                f"the upload cannot be stored ({error.strerror or error}): ask the server's operator for room"
            ) from error

    def received(self) -> Received:
        """Return what came."""
        if not self._is_whole:
            raise InputError("the upload ends in the middle: send it again")
        return self._received

    def close(self) -> None:
        """Close the file that is open, if one is."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _on_part_begin(self) -> None:
        self._header = self._value = self._disposition = b""
        self._field, self._content = None, bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            if len(self._received.fields) >= _MOST_FIELDS:
                raise InputError(f"the form has more than {_MOST_FIELDS} fields: send what is asked for")
            return
        if self._field != "files":
            raise InputError("files are sent in the field `files`: name it so")
        self._count += 1
        if self._count > self._limits.files:
            raise TooLargeError(f"the upload has more than {self._limits.files} files: send one CT")
        self._name = storable(options[b"filename"].decode("utf-8", "replace"))[:_LONGEST_NAME]
        self._digest, self._size = hashlib.sha256(), 0
        self._stream = (self._folder / f"{self._count:05}").open("xb")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        if self._stream is None:
            self._content += piece
            if len(self._content) > _LONGEST_FIELD:
                raise InputError(f"the field {self._field!r} is longer than {_LONGEST_FIELD} bytes")
            return
        self._stream.write(piece)
        self._digest.update(piece)
        self._size += len(piece)

    def _on_part_end(self) -> None:
        if self._stream is None:
            self._received.fields[self._field or ""] = storable(self._content.decode("utf-8", "replace"))
            return
        path = Path(self._stream.name)
        self.close()
        if not self._size:
            path.unlink()  # a browser's empty choice, or an empty file: it holds no CT
            return
        self._received.files.append(
            ReceivedFile(path=path, name=self._name, size=self._size, sha256=self._digest.digest())
        )

    def _on_end(self) -> None:
        self._is_whole = True


def too_large(limit_bytes: int) -> TooLargeError:
    """Return the refusal of what is larger than a limit."""
    return TooLargeError(
        f"the upload is larger than {limit_bytes / 2**20:,.0f} MB, which is all this server takes"
    )
