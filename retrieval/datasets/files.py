"""Volume files below a folder, passing over what is hidden or not finished."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import DatasetError
from encoders.nrrd import nrrd_files
from retrieval.cases import Unreadable, VolumeFile
from retrieval.volume_names import volume_kind

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies below a folder, each list sorted; folders that may not be listed are `unreadable`."""

    folder: Path  # absolute
    volumes: tuple[Path, ...]
    tables: tuple[Path, ...]  # CSV files in the folder itself
    others: tuple[Path, ...]  # DICOM has no ending of its own
    unreadable: tuple[Unreadable, ...] = ()

    def relative(self, path: Path) -> str:
        """A path below the folder, with forward slashes."""
        return path.relative_to(self.folder).as_posix()


def list_files(folder: Path) -> Listing:
    """Walk a folder; links to files are followed, links to folders are not, so that no loop is entered.

    Raises:
        DatasetError: the folder does not exist, is a file, or may not be listed.
    """
    root = existing_folder(folder)
    volumes: list[Path] = []
    tables: list[Path] = []
    others: list[Path] = []
    unreadable: list[Unreadable] = []

    def refuse(error: OSError) -> None:
        path = Path(error.filename)
        if path == root:
            raise DatasetError(_not_listed(str(root), error)) from error
        unreadable.append(
            Unreadable(item=path.relative_to(root).as_posix(), error=_not_listed("this folder", error))
        )

    for parent, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        for name in sorted(names):
            if _is_passed_over(name):
                continue
            path = Path(parent) / name
            if volume_kind(name) is not None:
                volumes.append(path)
            elif name.lower().endswith(".csv"):
                tables += [path] if path.parent == root else []
            else:
                others.append(path)
    return Listing(
        folder=root,
        volumes=tuple(volumes),
        tables=tuple(tables),
        others=tuple(others),
        unreadable=tuple(unreadable),
    )


def existing_folder(folder: Path) -> Path:
    """Return the absolute path of a folder.

    Raises:
        DatasetError: there is none.
    """
    try:
        root = folder.expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links form a loop"
        raise DatasetError(
            f"{folder} cannot be opened ({reason}): give a folder, or N[:SEED] with --format phantom"
        ) from error
    if not root.is_dir():
        raise DatasetError(
            f"{folder} is a file: give the folder it lies in; tables go to --reports, --labels or --metadata"
        )
    return root


def files_by_name(
    listing: Listing, name_of: Callable[[Path], str | None], expected: str
) -> tuple[dict[str, Path], list[Unreadable]]:
    """Index the volumes of a data set by their names; of one that lies in two places, neither is taken.

    Args:
        listing: of the folder.
        name_of: a file's name in the data set; None where it is none of it.
        expected: what a name looks like, for the reader of an error.
    """
    places: dict[str, list[Path]] = {}
    unreadable: list[Unreadable] = []
    for path in listing.volumes:
        name = name_of(path)
        if name is None:
            item = listing.relative(path)
            error = f"{item} is not named as this data set's volumes are: expected {expected}"
            unreadable.append(Unreadable(item=item, error=error))
        else:
            places.setdefault(name, []).append(path)
    for name, paths in places.items():
        if len(paths) > 1:
            where = " and ".join(listing.relative(path) for path in paths)
            error = f"{name} lies in {len(paths)} places ({where}): keep one, or index one of the folders"
            unreadable.append(Unreadable(item=name, error=error))
    return {name: paths[0] for name, paths in places.items() if len(paths) == 1}, unreadable


def volume_file(
    path: Path,
    *,
    rescale: tuple[float, float] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
) -> VolumeFile:
    """Describe a volume by its file, with the voxels a detached header names and what a table says of it."""
    kind = volume_kind(path.name)
    return VolumeFile(
        kind=kind or "nifti",
        uri=str(path),
        paths=nrrd_files(path),
        table_rescale=rescale,
        table_spacing_mm=spacing_mm,
    )


def _is_passed_over(name: str) -> bool:
    return name.startswith((".", "~")) or name == "__MACOSX" or name.lower().endswith(_UNFINISHED)


def _not_listed(what: str, error: OSError) -> str:
    return f"{what} cannot be listed ({error.strerror}): check that you may read it"
