"""Which folders of the server may be indexed by a job."""

from collections.abc import Sequence
from pathlib import Path

from web.problems import ForbiddenError


def folder_and_root(asked: str, served: Sequence[str]) -> tuple[Path, str]:
    """Return a folder, links resolved, and the served folder that it lies in.

    Raises:
        ForbiddenError: it lies in none, or is none; which of both is not said.
    """
    try:
        folder = Path(asked).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # missing, a zero byte in it, a loop of links
        folder = None
    if folder is not None and folder.is_dir() and Path(asked).is_absolute():
        for root in served:
            if folder.is_relative_to(Path(root).resolve()):
                return folder, root
    raise ForbiddenError(
        "this is no folder that the server indexes: give the absolute path of one below those that "
        "`ctsearch serve --served-folder` names"
    )
