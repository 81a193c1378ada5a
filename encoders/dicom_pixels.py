"""Stored values of DICOM slices: plain and RLE ones by pydicom, the JPEG family by GDCM within SimpleITK."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)

from encoders.dicom_headers import DAMAGED, UNPARSABLE, Plane, quiet_pydicom
from encoders.errors import VolumeError

_PIXEL_MODULE = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
_BY_GDCM = {
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
}
_BRIGHTEST_HU = 3071.0  # what 12 bits hold; padding above it would show as a bright rim
_AIR_HU = -1000.0


def open_image(path: Path) -> FileDataset:
    """Read a file with its pixels, not yet decoded.

    Raises:
        VolumeError: it cannot be read.
    """
    try:
        with quiet_pydicom():
            image = pydicom.dcmread(path, force=True)
    except OSError as error:
        raise VolumeError(f"{path.name} cannot be read ({error.strerror or DAMAGED})") from error
    except UNPARSABLE as error:
        raise _damaged(path) from error
    if "TransferSyntaxUID" not in image.file_meta:  # old files start with their first element
        implicit, _ = image.original_encoding
        image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return image


def stored_values(plane: Plane, image: FileDataset) -> NDArray[Any]:
    """Decode one slice to the integers it stores; padding brighter than any tissue becomes air.

    Args:
        plane: which slice.
        image: its file, as `open_image` gives it.

    Returns:
        (rows, columns) as stored, before any rescale.

    Raises:
        VolumeError: the pixels are missing, cut short or damaged, or no decoder knows their compression.
    """
    try:
        with quiet_pydicom():
            stored_HW = _decoded(image, plane)
    except (*UNPARSABLE, KeyError) as error:
        raise _damaged(plane.path) from error
    if stored_HW.shape != (plane.rows, plane.columns):
        raise _damaged(plane.path)
    return _without_bright_padding(stored_HW, image, plane)


def same_pixels(one: Plane, other: Plane) -> bool:
    """Tell whether two slices store the same values and mean the same HU by them."""
    if one.rescale != other.rescale:
        return False
    return np.array_equal(
        stored_values(one, open_image(one.path)), stored_values(other, open_image(other.path))
    )


def _decoded(image: FileDataset, plane: Plane) -> NDArray[Any]:
    syntax = image.file_meta.get("TransferSyntaxUID")
    if syntax in _BY_GDCM:
        return _decoded_by_gdcm(image, plane, syntax)
    if syntax is not None and syntax.is_encapsulated and syntax != RLELossless:
        raise VolumeError(
            f"{plane.path.name} is compressed with {syntax.name}, which has no decoder here: "
            "export the series uncompressed"
        )
    return pixel_array(image, index=plane.frame, raw=True)


def _decoded_by_gdcm(image: FileDataset, plane: Plane, syntax: UID) -> NDArray[Any]:
    import SimpleITK

    frames = int(image.get("NumberOfFrames") or 1)
    codestream = get_frame(image.PixelData, plane.frame, number_of_frames=frames)
    # GDCM reads files, rescales what says how, and takes some tags for granted: it gets the bare slice.
    with tempfile.TemporaryDirectory(prefix="ctsearch-") as folder:
        path = Path(folder) / "slice.dcm"
        _bare_slice(image, codestream, syntax).save_as(path, enforce_file_format=True)
        try:
            decoded = SimpleITK.ReadImage(str(path))
        except RuntimeError as error:
            raise _damaged(plane.path) from error
    return np.squeeze(SimpleITK.GetArrayFromImage(decoded), axis=0)


def _bare_slice(image: FileDataset, codestream: bytes, syntax: UID) -> Dataset:
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.SOPClassUID = CTImageStorage
    bare.SOPInstanceUID = generate_uid()
    bare.Modality = "CT"
    for keyword in _PIXEL_MODULE:
        bare[keyword] = image[keyword]
    bare.PixelData = encapsulate([codestream])
    bare["PixelData"].VR = "OB"
    return bare


def _without_bright_padding(stored_HW: NDArray[Any], image: Dataset, plane: Plane) -> NDArray[Any]:
    padding = image.get("PixelPaddingValue")
    slope, intercept = plane.rescale
    if padding is None or slope == 0 or slope * padding + intercept <= _BRIGHTEST_HU:
        return stored_HW
    limit = image.get("PixelPaddingRangeLimit", padding)
    low, high = min(padding, limit), max(padding, limit)
    air = np.clip(round((_AIR_HU - intercept) / slope), np.iinfo(stored_HW.dtype).min, None)
    return np.where((stored_HW >= low) & (stored_HW <= high), stored_HW.dtype.type(air), stored_HW)


def _damaged(path: Path) -> VolumeError:
    return VolumeError(f"{path.name} has pixels that are cut short or damaged: export the series again")
