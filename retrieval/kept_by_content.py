"""Where what is kept of volumes lies under a folder, by a digest of their content, and how it is deleted."""

from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree

from encoders.errors import StorageError


def folder_of(folder: Path, content: bytes) -> Path:
    """Return where everything kept of one volume is.

    Args:
        folder: of what is kept.
        content: of the volume, as `retrieval.reading` gives it.
    """
    name = content.hex()
    return folder / name[:2] / name


def forget_contents(folder: Path, contents: Iterable[bytes], what: str) -> None:
    """Delete what is kept of volumes.

    Args:
        folder: of what is kept.
        contents: of the volumes, as in `folder_of`.
        what: is kept, for the message.

    Raises:
        StorageError: it cannot be deleted.
    """
    for content in contents:
        try:
            rmtree(folder_of(folder, content))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(
                f"{what} in {folder} cannot be deleted ({error.strerror}): delete the folder"
            ) from error
