"""A file sent whole or in one part (RFC 9110, section 14)."""

import re
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

_ONE_RANGE = re.compile(rb"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))")


class RangedFile(FileResponse):
    """Answers one range of bytes with 206, one beyond the end with 416, anything else with the whole file.

    A range whose If-Range names another ETag is not taken.
    """

    def __init__(self, path: Path, *, media_type: str, headers: Mapping[str, str], name: str) -> None:
        super().__init__(path, media_type=media_type, headers=headers, filename=name, stat_result=path.stat())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the request asks for."""
        kept = [(name, value) for name, value in scope["headers"] if name != b"range" or _is_one(value)]
        await super().__call__({**scope, "headers": kept}, receive, send)


def _is_one(value: bytes) -> bool:
    """Whether a Range header asks for one range of bytes; RFC 9110 lets any other be ignored."""
    found = _ONE_RANGE.fullmatch(value.strip())
    if found is None:
        return False
    first, last, _ = found.groups()
    return first is None or not last or int(first) <= int(last)
