"""Small chests drawn for tests, and the files a scanner or a converter would write of them."""

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING_DHW = (5.0, 4.0, 4.0)


def chest_hu(shape: tuple[int, int, int] = (40, 96, 96), *, noise: float = 10.0) -> np.ndarray:
    """Draw a body with two lungs and a spine: int16 HU, axes towards S, L, P, 5 × 4 × 4 mm."""
    slices, rows, columns = shape
    left = np.linspace(-1, 1, rows)[None, :, None]
    back = np.linspace(-1, 1, columns)[None, None, :]
    up = np.linspace(-1, 1, slices)[:, None, None]
    hu = np.full(shape, -1000.0)
    hu[np.broadcast_to((left / 0.9) ** 2 + (back / 0.65) ** 2 < 1, shape)] = 40
    for centre in (-0.4, 0.4):
        lung = ((left - centre) / 0.28) ** 2 + (back / 0.42) ** 2 + (up / 0.9) ** 2 < 1
        hu[lung] = -850
    hu[np.broadcast_to((left / 0.08) ** 2 + ((back - 0.5) / 0.08) ** 2 < 1, shape)] = 400
    hu += np.random.default_rng(0).normal(0, noise, shape)
    return hu.round().astype(np.int16)


def write_nifti(
    path: Path,
    stored_xyz: np.ndarray,
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 5.0),
    towards: tuple[int, int, int] = (-1, -1, 1),
) -> Path:
    """Write an array whose axes increase towards R, A, S times `towards`: L, P, S if not said otherwise."""
    nib.save(nib.Nifti1Image(stored_xyz, np.diag((*np.multiply(spacing_mm, towards), 1.0))), path)
    return path


def as_xyz(hu_DHW: np.ndarray) -> np.ndarray:
    """Turn (S, L, P) axes into the x, y, z of a file that increases towards L, P, S."""
    return hu_DHW.transpose(1, 2, 0)


def dicom_slices(
    hu_DHW: np.ndarray,
    *,
    patient: str = "P1",
    series_number: int = 1,
    slice_mm: float = 5.0,
    pixel_mm: float = 4.0,
    intercept: int = -1024,
) -> list[Dataset]:
    """Make axial CT slices as a scanner does: unsigned, intercept -1024, feet first in the list."""
    study_uid, series_uid = generate_uid(), generate_uid()
    return [
        _slice(
            (plane_LP.T.astype(int) - intercept).clip(0, 65535).astype(np.uint16),
            patient=patient,
            uids=(study_uid, series_uid),
            numbers=(series_number, index + 1),
            position_mm=(-100.0, -120.0, -300.0 + index * slice_mm),
            pixel_mm=pixel_mm,
            intercept=intercept,
        )
        for index, plane_LP in enumerate(hu_DHW)
    ]


def _slice(
    stored_HW: np.ndarray,
    *,
    patient: str,
    uids: tuple[str, str],
    numbers: tuple[int, int],
    position_mm: tuple[float, float, float],
    pixel_mm: float,
    intercept: int,
) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = generate_uid()
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.Modality = "CT"
    image.PatientID = patient
    image.StudyInstanceUID, image.SeriesInstanceUID = uids
    image.SeriesNumber, image.InstanceNumber = numbers
    image.ImagePositionPatient = list(position_mm)
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [pixel_mm, pixel_mm]
    image.SliceThickness = 7.5  # on purpose not the distance between slices
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = stored_HW.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 0
    image.RescaleSlope, image.RescaleIntercept = 1, intercept
    image.PixelData = np.ascontiguousarray(stored_HW).tobytes()
    image["PixelData"].VR = "OW"
    return image


def save_slices(folder: Path, slices: Iterable[Dataset], prefix: str = "IM") -> Path:
    """Write slices under names that say nothing and sort against their position."""
    folder.mkdir(parents=True, exist_ok=True)
    images = list(slices)
    for index, image in enumerate(images):
        pydicom.dcmwrite(folder / f"{prefix}{len(images) - index:05d}", image, enforce_file_format=True)
    return folder
