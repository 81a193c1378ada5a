"""Small archives on disk, for tests of datasets."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from retrieval.cases import Case, Unreadable
from retrieval.datasets import Source

ROWS = COLUMNS = 8
SLICES = 3


def make_files(folder: Path, *names: str) -> None:
    """Make empty files, with the folders they lie in: datasets never open volumes."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def make_table(path: Path, *rows: str) -> Path:
    """Write a CSV table, one text a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def make_nifti(path: Path) -> Path:
    """Write a volume of air."""
    voxels: NDArray[np.int16] = np.full((4, 4, 4), -1000, np.int16)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    return path


def make_series(folder: Path, **elements: object) -> None:
    """Write a CT series of a few slices; `elements` are DICOM keywords that replace the defaults."""
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = elements.get("SeriesInstanceUID", generate_uid())
    study_uid = elements.get("StudyInstanceUID", generate_uid())
    for number in range(SLICES):
        header = _slice(number)
        for keyword, value in elements.items():
            setattr(header, keyword, value)
        header.SeriesInstanceUID = series_uid
        header.StudyInstanceUID = study_uid
        header.save_as(folder / f"{series_uid}-{number:03d}.dcm", enforce_file_format=True)


def cases_of(source: Source) -> list[Case]:
    """Go through a source and return its cases."""
    return [entry for entry in source if isinstance(entry, Case)]


def unreadable_of(source: Source) -> list[Unreadable]:
    """Go through a source and return what is no case."""
    return [entry for entry in source if isinstance(entry, Unreadable)]


def _slice(number: int) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.Modality = "CT"
    header.PatientID = "PAT-0815"
    header.PatientName = "MUELLER^JANE"
    header.StudyDate = "20210301"
    header.SeriesNumber = 2
    header.InstanceNumber = number + 1
    header.ImagePositionPatient = [0.0, 0.0, float(number)]
    header.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    header.PixelSpacing = [0.7, 0.7]
    header.SliceThickness = 1.0
    header.Rows, header.Columns = ROWS, COLUMNS
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 1
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    header.PixelData = np.zeros((ROWS, COLUMNS), np.int16).tobytes()
    return header
