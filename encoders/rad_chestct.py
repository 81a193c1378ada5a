"""RAD-ChestCT's .npz volumes: HU at 0.8 mm, one array named ct."""

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from encoders.errors import VolumeError
from encoders.scan import Scan, check_shape, check_voxels

SPACING_MM = 0.8
_MEMBER = "ct.npy"
# What a damaged or odd archive makes zipfile and numpy raise, the latter because it parses Python literals.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    KeyError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TokenError,
)


def read_rad_chestct(path: Path) -> Scan:
    """Read one volume of RAD-ChestCT; no pickle is ever loaded.

    Its arrays are (slices, rows, columns): slices from the head down, rows to the back, columns to the left.

    Raises:
        VolumeError: the archive is damaged, has no array named ct, or that is no 3-D volume.

    Source:
        Draelos et al., RAD-ChestCT (doi 10.5281/zenodo.6406114), and its preprocessing, which sorts slices
        from the highest position down and resamples to 0.8 mm.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _MEMBER not in archive.namelist():
                found = ", ".join(sorted(archive.namelist())[:3]) or "nothing"
                raise VolumeError(
                    f"{path.name} holds {found} but no array named ct, as RAD-ChestCT's volumes do"
                )
            with archive.open(_MEMBER) as stream:
                shape, dtype = _announced(stream)
                check_shape(shape, dtype.itemsize, path.name)
            with archive.open(_MEMBER) as stream:
                volume_DHW = npy.read_array(stream, allow_pickle=False)
    except _DAMAGE as error:
        raise VolumeError(
            f"{path.name} is a damaged .npz ({error}): copy it again from its source"
        ) from error
    check_voxels(volume_DHW, path.name)
    return Scan(
        stored_xyz=volume_DHW.reshape(volume_DHW.shape[:3]).transpose(2, 1, 0),
        axis_codes=("L", "P", "I"),
        spacing_mm=(SPACING_MM, SPACING_MM, SPACING_MM),
    )


def _announced(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype
