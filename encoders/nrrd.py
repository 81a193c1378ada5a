"""NRRD files, read by ITK; a detached header may only name a file beside it."""

from pathlib import Path, PurePath

import numpy as np

from encoders.errors import VolumeError
from encoders.scan import Scan, check_shape, check_voxels, placement_from_affine

_MAX_HEADER = 1 << 20
_DETACHED = ("data file", "datafile")
_DETACHED_ENDING = ".nhdr"


def read_nrrd(path: Path) -> Scan:
    """Read a 3-D NRRD with its orientation; without one, axes are taken as Left, Posterior, Superior.

    Raises:
        VolumeError: the file is damaged, too large or not 3-D, or its header names a file elsewhere.
    """
    import SimpleITK

    fields = _header_fields(path)
    detached = _data_file(fields)
    if detached is not None and not _is_beside(detached):
        raise VolumeError(f"{path.name} names voxels in another folder: convert it to one .nrrd file")
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        components = reader.GetNumberOfComponents()
        shape = reader.GetSize() if components == 1 else (components, *reader.GetSize())
        one_voxel = SimpleITK.GetArrayFromImage(SimpleITK.Image([1, 1], reader.GetPixelID(), components))
        check_shape(shape, one_voxel.itemsize, path.name)
        image = reader.Execute()
    except RuntimeError as error:
        raise VolumeError(f"{path.name} is a damaged NRRD file: export it again") from error
    stored_DHW = SimpleITK.GetArrayFromImage(image)
    check_voxels(stored_DHW, path.name)
    axes = image.GetDimension()
    lps = np.reshape(image.GetDirection(), (axes, axes))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = np.diag((-1.0, -1.0, 1.0)) @ lps @ np.diag(image.GetSpacing()[:3])
    placement = placement_from_affine(affine, path.name)
    no_orientation = "says nothing of its orientation; left, posterior, superior was taken"
    unplaced = not ({"space", "space dimension"} & fields.keys())
    return Scan(
        stored_xyz=stored_DHW.reshape(stored_DHW.shape[-3:]).transpose(2, 1, 0),
        axis_codes=placement.axis_codes,
        spacing_mm=placement.spacing_mm,
        warnings=(*placement.warnings, *((no_orientation,) if unplaced else ())),
    )


def nrrd_files(path: Path) -> tuple[Path, ...]:
    """Return all files of a volume: for a .nhdr that names a file beside it, that one too; else itself alone.

    Nothing is raised: what cannot be looked at here is refused when it is read.
    """
    if path.suffix.lower() != _DETACHED_ENDING:
        return (path,)
    try:
        named = _data_file(_header_fields(path))
        beside = path.parent / named if named and _is_beside(named) else path
        return (path, beside) if beside != path and beside.is_file() else (path,)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return (path,)


def _data_file(fields: dict[str, str]) -> str | None:
    return next((fields[key] for key in _DETACHED if key in fields), None)


def _is_beside(name: str) -> bool:
    return PurePath(name).name == name and not name.startswith("LIST")


def _header_fields(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        text = stream.read(_MAX_HEADER).split(b"\n\n")[0].split(b"\r\n\r\n")[0].decode("latin-1")
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {key.strip().lower(): value.strip().lstrip("=").strip() for key, value in pairs}
