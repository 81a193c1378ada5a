"""Who is believed about the rescale, what is refused as no CT, and what looks like a chest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.chest import looks_like_chest, lung_content
from encoders.config import VolumeGrid
from encoders.errors import VolumeError
from encoders.hounsfield import RescaleRule, RescaleSource
from encoders.volumes import PreparedVolume, load_volume, prepare_volume, read_scan
from tests.shared import shared_file
from tests.synthetic_ct import SPACING_DHW, as_xyz, chest_hu, write_nifti

SMALL = VolumeGrid(slices=24, rows=48, columns=48, slice_mm=9.0, pixel_mm=9.0)


def _prepare(folder: Path, stored_DHW: np.ndarray, **choices: Any) -> PreparedVolume:
    return prepare_volume(write_nifti(folder / "a.nii.gz", as_xyz(stored_DHW)), grid=SMALL, **choices)


@pytest.mark.parametrize("intercept", [-1024, -8192])  # both of CT-RATE's
def test_scanner_values_with_a_table_are_rescaled_by_it(tmp_path: Path, intercept: int) -> None:
    stored_DHW = (chest_hu().astype(int) - intercept).astype(np.int16)  # CT-RATE, first release
    prepared = _prepare(tmp_path, stored_DHW, table_rescale=(1.0, intercept))
    assert (prepared.rescale_source, prepared.rescale) == ("metadata", (1.0, intercept))
    assert prepared.warnings == ()
    in_hu = _prepare(tmp_path, chest_hu())
    assert np.allclose(prepared.volume_DHW, in_hu.volume_DHW, atol=1e-6)


@pytest.mark.parametrize("intercept", [-1024, -8192])
def test_hu_with_the_same_table_are_not_rescaled_again(tmp_path: Path, intercept: int) -> None:
    prepared = _prepare(tmp_path, chest_hu(), table_rescale=(1.0, intercept))  # CT-RATE, second release
    assert (prepared.rescale_source, prepared.rescale) == ("header", (1.0, 0.0))


@pytest.mark.parametrize("padding", [-1000, -1024, -2000, -2048, -3024])
def test_padding_of_unscaled_values_does_not_pass_for_air(tmp_path: Path, padding: int) -> None:
    stored_DHW = (chest_hu().astype(int) + 1024).astype(np.int16)
    stored_DHW[:, :20] = padding
    prepared = _prepare(tmp_path, stored_DHW, table_rescale=(1.0, -1024.0))
    assert prepared.rescale_source == "metadata"
    with pytest.raises(VolumeError, match="no metadata table speaks of it"):
        _prepare(tmp_path, stored_DHW)


@pytest.mark.parametrize("padding", [-2000, -2048, -3024, -8192])
def test_padding_outside_the_field_of_view_is_air_and_no_trouble(tmp_path: Path, padding: int) -> None:
    stored_DHW = chest_hu()
    left, back = np.ogrid[-1:1:96j, -1:1:96j]
    stored_DHW[:, left**2 + back**2 > 1] = padding
    prepared = _prepare(tmp_path, stored_DHW, table_rescale=(1.0, -1024.0))
    assert (prepared.rescale_source, prepared.warnings) == ("header", ())
    assert np.allclose(prepared.volume_DHW, _prepare(tmp_path, chest_hu()).volume_DHW, atol=0.03)


def test_a_padded_real_chest_is_taken_by_its_header(tmp_path: Path) -> None:
    scan = read_scan(shared_file("ct/mini/lungdx_A0001_kernelL.nii.gz"))
    stored_xyz = scan.stored_xyz.copy()
    stored_xyz[stored_xyz <= -1020] = -3024
    file = write_nifti(tmp_path / "a.nii.gz", stored_xyz, spacing_mm=scan.spacing_mm)
    assert prepare_volume(file, grid=SMALL, table_rescale=(1.0, -1024.0)).rescale_source == "header"


@pytest.mark.parametrize(
    ("rule", "offset", "right"),
    [("header", 1024, "metadata"), ("none", 1024, "metadata"), ("metadata", 0, "header")],
)
def test_a_rule_that_gives_no_ct_is_refused_with_both_guesses(
    tmp_path: Path, rule: RescaleRule, offset: int, right: RescaleSource
) -> None:
    stored_DHW = (chest_hu().astype(int) + offset).astype(np.int16)
    with pytest.raises(VolumeError) as refusal:
        _prepare(tmp_path, stored_DHW, rule=rule, table_rescale=(1.0, -1024.0))
    message = str(refusal.value)
    assert f"a.nii.gz is no CT in Hounsfield units by the rescale rule {rule}" in message
    assert "the file's header (slope 1, intercept 0) gives" in message
    assert "the metadata table (slope 1, intercept -1024) gives" in message
    assert message.endswith(f"take the rescale rule {right}")


@pytest.mark.parametrize(("rule", "source"), [("header", "header"), ("none", "none")])
def test_a_rule_that_gives_a_ct_is_followed_and_recorded(
    tmp_path: Path, rule: RescaleRule, source: RescaleSource
) -> None:
    assert _prepare(tmp_path, chest_hu(), rule=rule).rescale_source == source


def test_the_metadata_rule_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"no metadata table gives a rescale for a\.nii\.gz"):
        _prepare(tmp_path, chest_hu(), rule="metadata")


@pytest.mark.parametrize("rescale", [(0.0, -1024.0), (float("nan"), 0.0), (1.0, float("inf"))])
def test_a_table_that_rescales_nothing_is_refused(tmp_path: Path, rescale: tuple[float, float]) -> None:
    with pytest.raises(VolumeError, match=r"the metadata table gives slope .* correct them"):
        _prepare(tmp_path, chest_hu(), rule="metadata", table_rescale=rescale)


@pytest.mark.parametrize(
    "stored_DHW",
    [
        (chest_hu() + 1000).clip(0, 255).astype(np.uint8),  # a windowed picture
        (chest_hu().clip(-1000, 1000) / 1000).astype(np.float32),  # normalised already
        np.zeros((20, 30, 30), np.int16),
        np.full((20, 30, 30), -1000, np.int16),
        np.full((20, 30, 30), -3024, np.int16),
    ],
)
def test_what_is_no_ct_is_refused(tmp_path: Path, stored_DHW: np.ndarray) -> None:
    with pytest.raises(VolumeError, match=r"a\.nii\.gz is no CT in Hounsfield units"):
        _prepare(tmp_path, stored_DHW)


def test_a_slope_of_zero_is_refused_even_where_the_voxels_are_not_judged(tmp_path: Path) -> None:
    file = write_nifti(tmp_path / "a.nii.gz", as_xyz(chest_hu()))
    with pytest.raises(VolumeError, match="the rescale given gives slope 0"):
        load_volume(file, rescale=(0.0, 0.0), grid=SMALL)


def test_loading_alone_never_judges_the_voxels(tmp_path: Path) -> None:
    file = write_nifti(tmp_path / "a.nii.gz", np.zeros((30, 30, 20), np.int16))
    assert load_volume(file, grid=SMALL).shape == SMALL.shape


def test_the_spacing_of_a_table_goes_with_its_rescale(tmp_path: Path) -> None:
    table = {"table_rescale": (1.0, -1024.0), "table_spacing_mm": (3.0, 3.0, 6.0)}
    scanner_values = _prepare(tmp_path, (chest_hu().astype(int) + 1024).astype(np.int16), **table)
    assert scanner_values.spacing_mm == (3.0, 3.0, 6.0)
    in_hu = _prepare(tmp_path, chest_hu(), **table)
    assert in_hu.spacing_mm == (4.0, 4.0, 5.0)
    assert in_hu.warnings == (
        "has a spacing of 4×4×5 mm by its header, which was taken, and 3×3×6 mm by the metadata table",
    )


def test_a_tight_crop_with_air_in_the_lungs_only_passes(tmp_path: Path) -> None:
    hu_DHW = chest_hu()
    crop_DHW = hu_DHW[:, 16:-16, 28:-28]  # within the body wall: no voxel of outside air
    assert (crop_DHW < -950).mean() < 0.001
    prepared = _prepare(tmp_path, crop_DHW)
    assert (prepared.rescale_source, prepared.warnings) == ("header", ())


def test_a_crop_through_the_lungs_still_looks_like_a_chest() -> None:
    crop_DHW = chest_hu()[:, 20:-20, 30:-30].astype(np.float32)  # lungs reach the border on both sides
    assert crop_DHW[20, 0].min() < -800
    assert looks_like_chest(crop_DHW, SPACING_DHW)


def test_litres_of_lung_are_those_of_the_ellipsoids_drawn() -> None:
    hu_DHW = np.full((101, 101, 101), 40.0, np.float32)
    hu_DHW[:, :5] = hu_DHW[:, -5:] = -1000  # air outside the body
    up, left, back = np.ogrid[-50:51, -50:51, -50:51]
    hu_DHW[(up / 40) ** 2 + (left / 25) ** 2 + (back / 30) ** 2 < 1] = -850
    content = lung_content(hu_DHW, (4.0, 3.0, 3.0))
    expected_litres = 4 / 3 * np.pi * (40 * 4) * (25 * 3) * (30 * 3) / 1e6
    assert content.litres == pytest.approx(expected_litres, rel=0.01)
    assert content.slice_share == pytest.approx(79 / 101, abs=0.02)


def test_a_windpipe_open_to_the_outside_does_not_empty_the_lungs() -> None:
    hu_DHW = chest_hu().astype(np.float32)
    closed = lung_content(hu_DHW, SPACING_DHW)
    hu_DHW[20:, 28:32, 46:50] = -1000  # from the lung up and out
    hu_DHW[38:, 28:32, :50] = -1000  # and to the front, where the mouth is
    assert lung_content(hu_DHW, SPACING_DHW).litres == pytest.approx(closed.litres, rel=0.05)


@pytest.mark.parametrize("density", [20, 45])  # effusion, consolidation
def test_one_white_lung_is_still_a_chest(tmp_path: Path, density: int) -> None:
    hu_DHW = chest_hu()
    left = hu_DHW[:, 48:]
    left[left < -700] = np.where(np.indices(left.shape)[1][left < -700] < 44, density, -1000)
    assert _prepare(tmp_path, hu_DHW).warnings == ()


def test_a_body_with_bowel_gas_and_no_lungs_is_told(tmp_path: Path) -> None:
    hu_DHW = chest_hu()
    hu_DHW[hu_DHW < -700] = -1000
    lungs = np.zeros(hu_DHW.shape, bool)
    lungs[:, 10:-10, 22:-22] = True
    hu_DHW[lungs & (hu_DHW < -700)] = 30
    hu_DHW[5:35:8, 40:56, 40:50] = -1000
    assert _prepare(tmp_path, hu_DHW).warnings[0].startswith("does not look like a chest CT: 0.0 litres")


def test_phantoms_of_sick_patients_look_like_chests() -> None:
    from retrieval.datasets.phantom import draw_volume, phantom_cohort

    uris = [volume.file.uri for case in phantom_cohort(12, 5) for volume in case.volumes if volume.file]
    assert uris
    for uri in uris:
        hu_DHW, spacing_mm = draw_volume(uri)
        assert looks_like_chest(hu_DHW.astype(np.float32), spacing_mm), uri
