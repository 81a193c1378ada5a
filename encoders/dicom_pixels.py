"""Stored values of DICOM slices; compressed ones are decoded by GDCM within SimpleITK."""

from encoders.dicom_headers import Plane


def same_pixels(one: Plane, other: Plane) -> bool:
    """Tell whether two slices store the same values."""
    return one.path.read_bytes() == other.path.read_bytes()
