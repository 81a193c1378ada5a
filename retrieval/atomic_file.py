"""A file that is there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from encoders.errors import StorageError


@contextmanager
def written_atomically(path: Path, *, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a stream that becomes `path` when the block ends well, and leaves nothing when it does not.

    Args:
        path: where the file goes; one that is there already is replaced at the end.
        mode: of the file; None for the usual one of this process.

    Raises:
        StorageError: the folder is missing or may not be written, or the disk is full.
    """
    scratch: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        scratch = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if mode is None:
            mode = 0o666 & ~_umask()  # mkstemp's 0600 would hide it from the colleagues of its owner
        scratch.chmod(mode)
        scratch.replace(path)
        scratch = None
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}): "
            "choose a folder that exists, that you may write to and that has room"
        ) from error
    finally:
        if scratch is not None:
            with suppress(OSError):
                scratch.unlink()


def _umask() -> int:
    current = os.umask(0o077)  # it can only be read by setting it
    os.umask(current)
    return current
