"""A directory that is there whole or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from encoders.errors import StorageError


@contextmanager
def draft_beside(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; it is gone after the block, unless it was put in place.

    Raises:
        StorageError: the disk is full or may not be written to.
    """
    draft = _other_name(out)
    try:
        draft.mkdir(parents=True)
        yield draft
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{out} cannot be written ({reason}): free space or choose another --out"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def put_in_place(draft: Path, out: Path) -> None:
    """Give a draft its name; what stood there goes, unless the draft cannot take its place."""
    if not out.exists():
        draft.rename(out)
        return
    old = _other_name(out)
    out.rename(old)
    try:
        draft.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _other_name(out: Path) -> Path:
    return out.with_name(f".{out.name}.{uuid.uuid4().hex}")
