"""Which of an upload's files are the volume that is asked by."""

from collections.abc import Sequence
from pathlib import Path

from encoders.dicom import Series, read_series
from encoders.errors import InputError, VolumeError
from encoders.nrrd import nrrd_files
from retrieval.cases import VolumeFile
from web.jobs.file_kinds import kind_of


def choose_volume(files: Sequence[Path]) -> tuple[VolumeFile, tuple[str, ...]]:
    """Return the one CT of an upload, and what was left out.

    Of several DICOM series of one patient, the one with most slices is taken: a study comes with its scout,
    its dose report and a second kernel.

    Raises:
        InputError: it holds several CTs, or several patients.
        VolumeError: its DICOM cannot be read, or no series of it is a volume.
    """
    kinds = {path: kind_of(path) for path in files}
    single = [path for path in files if kinds[path] != "dicom"]
    dicom = [path for path in files if kinds[path] == "dicom"]
    if len(single) > 1 or (single and dicom):
        raise InputError(f"the upload holds {len(single) + bool(dicom)} CTs, and one is asked by: send one")
    if not single:
        return _of_dicom(dicom)
    path = single[0]
    if kinds[path] == "nrrd":
        return VolumeFile(kind="nrrd", uri=str(path), paths=nrrd_files(path)), ()
    return VolumeFile(kind="nifti", uri=str(path), paths=(path,)), ()


def _of_dicom(files: Sequence[Path]) -> tuple[VolumeFile, tuple[str, ...]]:
    found = read_series(files)
    if len({series.patient for series in found}) > 1:
        raise InputError("the upload holds DICOM series of several patients: send one CT")
    whole = [series for series in found if not series.problems]
    if not whole:
        faults = ", and it ".join(found[0].problems)
        raise VolumeError(f"the DICOM series is no volume, it {faults}: export the series again")
    chosen = max(whole, key=lambda series: len(series.planes))
    others = len(found) - 1
    told = f"holds {others + 1} CT series; {_description(chosen)} was taken, which has most slices"
    volume = VolumeFile(kind="dicom", uri=str(files[0].parent), paths=chosen.paths)
    return volume, (told,) if others else ()


def _description(series: Series) -> str:
    return f"series {series.header.get('SeriesNumber', '?')} with {len(series.planes)} slices"
