"""DICOM folders become one volume or are refused with the reason; every file here is really written."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from encoders.config import VolumeGrid
from encoders.dicom import find_series, read_series
from encoders.errors import VolumeError
from encoders.volumes import grid_from_hounsfield, load_volume, prepare_volume, read_scan
from tests.shared import shared_file
from tests.synthetic_ct import chest_hu, dicom_slices, save_slices

GRID = VolumeGrid(slices=40, rows=160, columns=160, slice_mm=2.0, pixel_mm=3.0)


def _load(source: Path | Iterable[Path]) -> np.ndarray:
    return load_volume(source if isinstance(source, Path) else list(source), grid=GRID)


@pytest.fixture(scope="module", name="hu_DHW")
def draw_chest() -> np.ndarray:
    return chest_hu((12, 96, 80))


@pytest.fixture(scope="module", name="expected_DHW")
def bring_to_grid(hu_DHW: np.ndarray) -> np.ndarray:
    return grid_from_hounsfield(hu_DHW, (5.0, 4.0, 4.0), GRID)


def test_a_real_series_and_its_nifti_conversion_give_the_same_tensor() -> None:
    from_dicom = load_volume(shared_file("dicom/lung_pet_ct_dx_A0001"))
    from_nifti = load_volume(shared_file("ct/native/lungdx_A0001_kernelL.nii.gz"))
    assert np.abs(from_dicom - from_nifti).mean() <= 0.002
    assert np.abs(from_dicom - from_nifti).max() <= 1e-5


def test_a_real_series_is_prepared_by_its_header_without_a_warning() -> None:
    prepared = prepare_volume(shared_file("dicom/lung_pet_ct_dx_A0001"))
    assert (prepared.rescale_source, prepared.rescale, prepared.warnings) == ("header", (1.0, -1024.0), ())
    assert prepared.spacing_mm == (0.841797, 0.841797, 5.0)


def test_slices_are_sorted_by_position_whatever_their_names(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    folder = save_slices(tmp_path, dicom_slices(hu_DHW))
    assert np.array_equal(_load(folder), expected_DHW)
    assert np.array_equal(_load(sorted(folder.iterdir())), expected_DHW)


def test_the_step_between_slices_comes_from_positions_not_from_thickness(
    tmp_path: Path, hu_DHW: np.ndarray
) -> None:
    scan = read_scan(save_slices(tmp_path, dicom_slices(hu_DHW, slice_mm=2.5)))
    assert scan.spacing_mm == (4.0, 4.0, 2.5)
    assert scan.axis_codes == ("L", "P", "S")


def test_a_scan_taken_feet_first_and_prone_is_turned_by_its_orientation(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    slices = dicom_slices(hu_DHW)
    for image in slices:
        image.PixelData = np.ascontiguousarray(image.pixel_array[::-1, ::-1]).tobytes()
        image.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    assert np.array_equal(_load(save_slices(tmp_path, slices)), expected_DHW)


def test_other_files_localisers_and_exact_copies_are_passed_over(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    folder = save_slices(tmp_path / "scan", dicom_slices(hu_DHW))
    shutil.copy(folder / "IM00003", folder / "again.dcm")
    localiser, *_ = dicom_slices(hu_DHW)
    localiser.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localiser.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    localiser.SeriesInstanceUID = pydicom.dcmread(folder / "IM00003").SeriesInstanceUID
    capture, *_ = dicom_slices(hu_DHW)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    report, single = Dataset(), dicom_slices(hu_DHW)[0]
    report.SOPClassUID, report.file_meta = UID("1.2.840.10008.5.1.4.1.1.88.67"), capture.file_meta
    report.SOPInstanceUID, report.SeriesInstanceUID, report.Modality = generate_uid(), generate_uid(), "SR"
    save_slices(folder / "more", [localiser, capture, report, single], prefix="X")
    (folder / "README.txt").write_text("burnt on a CD")
    (folder / "empty").touch()
    assert np.array_equal(_load(folder), expected_DHW)
    found = find_series(folder)
    assert [len(series.planes) for series in found.series] == [12]
    assert not found.unreadable
    reasons = {path.name: reason for path, reason in found.passed_over}
    assert reasons == {
        "README.txt": "not a DICOM file",
        "empty": "not a DICOM file",
        "X00004": "a localiser",
        "X00003": "not a CT image but Secondary Capture Image Storage",
        "X00002": "not a CT image but X-Ray Radiation Dose SR Storage",
        "X00001": "no stack of slices",
    }


def test_scouts_and_bolus_tracking_that_no_tag_marks_are_passed_over(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    save_slices(tmp_path / "scan", dicom_slices(hu_DHW))
    scouts, tracking = dicom_slices(hu_DHW[:2]), dicom_slices(hu_DHW[:5])
    scouts[0].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    scouts[1].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    for image in tracking:
        image.ImagePositionPatient = [-100, -120, -280]
    save_slices(tmp_path / "scouts", scouts)
    save_slices(tmp_path / "tracking", tracking)
    assert np.array_equal(_load(tmp_path), expected_DHW)


def test_one_file_that_is_no_ct_slice_says_what_it_is(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    folder = save_slices(tmp_path, dicom_slices(hu_DHW[:1]))
    with pytest.raises(VolumeError, match=r"IM00001 holds no CT series \(no stack of slices\)"):
        _load(folder / "IM00001")
    image = dicom_slices(hu_DHW)[0]
    image.Modality = "MR"
    with pytest.raises(VolumeError, match=r"X00001 holds no CT series \(not CT but MR\)"):
        _load(save_slices(tmp_path, [image], prefix="X") / "X00001")


def test_a_pipe_among_the_slices_is_not_waited_for(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    folder = save_slices(tmp_path, dicom_slices(hu_DHW))
    os.mkfifo(folder / "pipe")
    assert np.array_equal(_load(folder), expected_DHW)


def test_a_dicomdir_is_passed_over(tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray) -> None:
    disc = FileSet()
    for image in dicom_slices(hu_DHW):
        image.PatientName, image.StudyDate, image.StudyTime, image.StudyID = "A", "20200101", "100000", "1"
        disc.add(image)
    disc.write(tmp_path)
    assert (tmp_path / "DICOMDIR").exists()
    assert np.array_equal(_load(tmp_path), expected_DHW)


def test_old_files_without_a_preamble_are_read(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    for index, image in enumerate(dicom_slices(hu_DHW)):
        del image.file_meta
        pydicom.dcmwrite(tmp_path / f"{index}", image, implicit_vr=True, little_endian=True)
    assert np.array_equal(_load(tmp_path), expected_DHW)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("signed", [False, True])
def test_compressed_slices_read_like_plain_ones(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray, syntax: UID, signed: bool
) -> None:
    slices = dicom_slices(hu_DHW)
    for image in slices:
        if signed:
            stored = image.pixel_array.astype(np.int16) - 1024
            image.PixelData, image.PixelRepresentation, image.RescaleIntercept = stored.tobytes(), 1, 0
        image.compress(syntax, generate_instance_uid=False)
    folder = save_slices(tmp_path, slices)
    assert pydicom.dcmread(folder / "IM00001").file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(_load(folder), expected_DHW)


def test_jpeg_lossless_slices_of_the_real_series_read_like_plain_ones(tmp_path: Path) -> None:
    sources = sorted(shared_file("dicom/lung_pet_ct_dx_A0001").iterdir())[:4]
    for source in sources:
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(str(tmp_path / source.name))
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.KeepOriginalImageUIDOn()
        writer.Execute(SimpleITK.ReadImage(str(source)))
    assert pydicom.dcmread(tmp_path / sources[0].name).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert np.array_equal(_load(tmp_path), _load(sources))


def test_slices_may_each_have_their_own_rescale(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    slices = dicom_slices(hu_DHW)
    for index, image in enumerate(slices):
        stored = image.pixel_array
        stored += np.uint16(index)
        image.PixelData, image.RescaleIntercept = stored.tobytes(), -1024 - index
    scan = read_scan(save_slices(tmp_path, slices))
    assert scan.header_rescale == (1.0, 0.0)
    assert np.array_equal(scan.stored_xyz, hu_DHW.clip(-1024).transpose(1, 2, 0))
    assert np.allclose(_load(tmp_path), expected_DHW, atol=1e-6)


def test_padding_brighter_than_bone_becomes_air(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    for image in slices:
        stored = image.pixel_array.copy()
        stored[:10] = 63536  # -2000 to a scanner that means signed numbers, 62512 HU to everybody else
        image.PixelData, image.PixelPaddingValue = stored.tobytes(), 63536
    assert (_load(save_slices(tmp_path, slices)) <= 0.6).all()


def test_padding_below_air_confuses_neither_the_check_nor_the_volume(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    padded = hu_DHW.copy()
    padded[:, :20, :20] = -3024
    slices = dicom_slices(padded, intercept=-4000)
    prepared = prepare_volume(save_slices(tmp_path, slices), grid=GRID)
    assert prepared.rescale_source == "header"
    assert np.allclose(prepared.volume_DHW, expected_DHW, atol=0.1)


def _enhanced(hu_DHW: np.ndarray) -> Dataset:
    slices = dicom_slices(hu_DHW)
    image = slices[0]
    image.SOPClassUID = EnhancedCTImageStorage
    image.NumberOfFrames = len(slices)
    image.PixelData = b"".join(own.PixelData for own in reversed(slices))
    image["PixelData"].VR = "OW"
    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence = _one(PixelSpacing=[4, 4], SliceThickness=5)
    shared.PlaneOrientationSequence = _one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelValueTransformationSequence = _one(RescaleSlope=1, RescaleIntercept=-1024)
    for own in reversed(slices):
        frame = Dataset()
        frame.PlanePositionSequence = _one(ImagePositionPatient=own.ImagePositionPatient)
        frames.append(frame)
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept"):
        delattr(image, keyword)
    return image


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless])
def test_an_enhanced_file_of_many_frames_is_one_series(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray, syntax: UID | None
) -> None:
    image = _enhanced(hu_DHW)
    if syntax is not None:
        image.compress(syntax, generate_instance_uid=False)
    save_slices(tmp_path, [image])
    assert np.array_equal(_load(tmp_path), expected_DHW)
    assert np.array_equal(_load(tmp_path / "IM00001"), expected_DHW)
    assert find_series(tmp_path).series[0].paths == (tmp_path / "IM00001",)


def _one(**values: object) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def test_two_patients_in_one_folder_are_refused(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    save_slices(tmp_path / "a", dicom_slices(hu_DHW, patient="P1"))
    save_slices(tmp_path / "b", dicom_slices(hu_DHW, patient="P2"))
    with pytest.raises(VolumeError, match=r"holds DICOM series of 2 patients"):
        _load(tmp_path)
    assert [series.patient for series in find_series(tmp_path).series] == ["P1", "P2"]


def test_two_patients_under_one_series_uid_are_refused(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    slices[5].PatientID = "P2"
    with pytest.raises(VolumeError, match=r"is no volume, it mixes slices of 2 patients"):
        _load(save_slices(tmp_path, slices))


def test_two_series_of_one_patient_are_listed_and_each_can_be_read(
    tmp_path: Path, hu_DHW: np.ndarray, expected_DHW: np.ndarray
) -> None:
    save_slices(tmp_path / "a", dicom_slices(hu_DHW, series_number=3))
    save_slices(tmp_path / "b", dicom_slices(hu_DHW[:6], series_number=4))
    with pytest.raises(VolumeError, match="2 CT series") as refusal:
        _load(tmp_path)
    assert "number 3, 12 slices of 5 mm" in str(refusal.value)
    assert "number 4, 6 slices of 5 mm" in str(refusal.value)
    longest = max(read_series(tmp_path), key=lambda series: len(series.planes))
    assert np.array_equal(_load(longest.paths), expected_DHW)


def test_missing_slices_are_named_by_position(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    folder = save_slices(tmp_path, slices[:4] + slices[5:])
    with pytest.raises(VolumeError, match=r"misses slices between -285\.0 and -275\.0 mm"):
        _load(folder)
    assert find_series(folder).series[0].problems == ("misses slices between -285.0 and -275.0 mm",)


def test_uneven_steps_are_refused_but_rounded_positions_are_not(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW, slice_mm=0.625)
    for image in slices:
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, y, round(float(z), 1)]
    scan = read_scan(save_slices(tmp_path / "rounded", slices))
    assert scan.spacing_mm[2] == pytest.approx(0.625, abs=0.01)
    for image in slices[6:]:
        image.ImagePositionPatient[2] += 0.2
    with pytest.raises(VolumeError, match=r"uneven steps between slices, 0\.60 to 0\.[89]"):
        _load(save_slices(tmp_path / "uneven", slices))


def test_mixed_orientations_are_refused(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    for image in slices[8:]:
        image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    with pytest.raises(VolumeError, match="mixes 2 orientations of slices"):
        _load(save_slices(tmp_path, slices))


def test_mixed_image_sizes_are_refused(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    smaller = dicom_slices(hu_DHW[:, :64, :64])
    for image in smaller:
        image.SeriesInstanceUID, image.StudyInstanceUID = (
            slices[0].SeriesInstanceUID,
            slices[0].StudyInstanceUID,
        )
    with pytest.raises(VolumeError, match="mixes image sizes 64×64 and 96×80"):
        _load(save_slices(tmp_path, slices[:6] + smaller[6:]))


def test_two_different_slices_in_one_place_are_refused(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    slices[4].ImagePositionPatient = slices[5].ImagePositionPatient
    with pytest.raises(VolumeError, match=r"has two different slices at -275\.0 mm, and it misses slices"):
        _load(save_slices(tmp_path, slices))


def test_a_tilted_gantry_is_refused_and_a_trace_of_tilt_is_not(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    for degrees in (1, 15):
        slices = dicom_slices(hu_DHW)
        for index, image in enumerate(slices):
            image.ImagePositionPatient[1] += index * 5 * np.tan(np.radians(degrees))
        save_slices(tmp_path / str(degrees), slices)
    assert _load(tmp_path / "1").shape == GRID.shape
    with pytest.raises(VolumeError, match="gantry tilted by 15°"):
        _load(tmp_path / "15")


def test_a_slice_beside_the_others_is_refused(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    slices[4].ImagePositionPatient[0] += 12
    with pytest.raises(VolumeError, match=r"up to 12\.0 mm beside the others"):
        _load(save_slices(tmp_path, slices))


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_pixels_cut_short_are_refused(
    tmp_path: Path, hu_DHW: np.ndarray, syntax: UID | None, keep: float
) -> None:
    slices = dicom_slices(hu_DHW[:3])
    for image in slices:
        if syntax is not None:
            image.compress(syntax, generate_instance_uid=False)
    file = save_slices(tmp_path, slices) / "IM00002"
    start = file.read_bytes().index(b"\xe0\x7f\x10\x00")  # where the pixel data element begins
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: start + int((size - start) * keep)])
    with pytest.raises(VolumeError, match=r"IM00002 has pixels that are cut short or damaged"):
        _load(tmp_path)


def test_a_header_cut_short_is_refused_and_does_not_stop_a_walk(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    folder = save_slices(tmp_path, dicom_slices(hu_DHW))
    (folder / "IM00012").write_bytes((folder / "IM00012").read_bytes()[:400])
    (folder / "lost.dcm").touch()
    found = find_series(folder)
    assert [path.name for path, _ in found.unreadable] == ["IM00012", "lost.dcm"]
    assert len(found.series[0].planes) == 11
    with pytest.raises(VolumeError, match=r"IM00012 cannot be read as DICOM"):
        _load(folder)


def test_a_slice_that_lacks_its_position_is_refused(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    del slices[3].ImagePositionPatient
    with pytest.raises(VolumeError, match=r"its header lacks ImagePositionPatient"):
        _load(save_slices(tmp_path, slices))


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")  # pydicom, of what this test writes
@pytest.mark.parametrize(
    ("keyword", "value", "found"),
    [
        ("PixelSpacing", [0, 0], "has a pixel spacing that is not positive"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "has an orientation that is none"),
        ("Rows", 60000, "its header is cut short or damaged"),
        ("RescaleSlope", "nan", "its header is cut short or damaged"),
    ],
)
def test_headers_that_cannot_be_true_are_refused(
    tmp_path: Path, hu_DHW: np.ndarray, keyword: str, value: object, found: str
) -> None:
    slices = dicom_slices(hu_DHW)
    with disable_value_validation():
        for image in slices:
            setattr(image, keyword, value)
    with pytest.raises(VolumeError, match=found):
        _load(save_slices(tmp_path, slices))


def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW)
    for image in slices:
        image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.99")
    with pytest.raises(VolumeError, match="deflated as a whole"):
        _load(save_slices(tmp_path, slices))


def test_series_tell_their_patient_study_and_header(tmp_path: Path, hu_DHW: np.ndarray) -> None:
    slices = dicom_slices(hu_DHW, patient="MRN 7")
    for image in slices:
        image.Manufacturer, image.file_meta.TransferSyntaxUID = "Philips", ImplicitVRLittleEndian
    series = find_series(save_slices(tmp_path, slices)).series[0]
    assert series.patient == "MRN 7"
    assert series.study_uid == slices[0].StudyInstanceUID
    assert series.series_uid == slices[0].SeriesInstanceUID
    assert series.header.Manufacturer == "Philips"
    assert series.header.InstanceNumber == 1
    assert "PixelData" not in series.header
    assert len(series.paths) == 12
    assert series.problems == ()
