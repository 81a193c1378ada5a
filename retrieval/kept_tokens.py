"""Where tokens of volumes are kept for chat (chat/volume_tokens.py), and how they go when a patient does."""

from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree

from encoders.errors import StorageError
from retrieval.database_address import home


def tokens_folder() -> Path:
    """Return where tokens are kept unless another folder is given: beside the embedded database.

    Raises:
        StorageError: that folder cannot be made.
    """
    return home() / "tokens"


def folder_of(folder: Path, content: bytes) -> Path:
    """Return where the tokens of one volume are, of all encoders.

    Args:
        folder: of the kept tokens.
        content: of the volume, as `retrieval.reading.volume_content` gives it.
    """
    name = content.hex()
    return folder / name[:2] / name


def forget_tokens(folder: Path, contents: Iterable[bytes]) -> None:
    """Delete what is kept of volumes.

    Args:
        folder: of the kept tokens.
        contents: of the volumes, as in `folder_of`.

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
                f"kept tokens in {folder} cannot be deleted ({error.strerror}): delete the folder"
            ) from error
