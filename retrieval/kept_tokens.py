"""Where tokens of volumes are kept for chat (chat/volume_tokens.py), and how they go when a patient does."""

from collections.abc import Iterable
from pathlib import Path

from retrieval.database_address import home
from retrieval.kept_by_content import forget_contents


def tokens_folder() -> Path:
    """Return where tokens are kept unless another folder is given: beside the embedded database.

    Raises:
        StorageError: that folder cannot be made.
    """
    return home() / "tokens"


def forget_tokens(folder: Path, contents: Iterable[bytes]) -> None:
    """Delete what is kept of volumes.

    Args:
        folder: of the kept tokens.
        contents: of the volumes, as in `retrieval.kept_by_content.folder_of`.

    Raises:
        StorageError: it cannot be deleted.
    """
    forget_contents(folder, contents, "kept tokens")
