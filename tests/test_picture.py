"""The picture shows what a radiologist expects: lung window, true proportions, the left side on the right."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.errors import StorageError, VolumeError
from retrieval.answer_picture import slices_at
from retrieval.picture import Tile, draw_hits, take_slices
from retrieval.windows import LUNG as LUNG_WINDOW

AIR, LUNG, TISSUE, BONE = -1000.0, -850.0, 40.0, 700.0


def chest(*, spacing_mm: tuple[float, float, float] = (5.0, 2.5, 2.5)) -> np.ndarray:
    """A box of tissue, 300 × 200 mm across and 300 mm high, with two lungs and a bone, left and behind.

    Axes go to Superior, Left and Posterior.
    """
    up, left, back = (
        np.arange(0, length, mm) for length, mm in zip((300, 400, 300), spacing_mm, strict=True)
    )
    z, x, y = np.meshgrid(up, left, back, indexing="ij")
    hu = np.full(z.shape, AIR, np.float32)
    hu[(x >= 50) & (x < 350) & (y >= 50) & (y < 250)] = TISSUE
    for start in (80, 220):
        hu[(x >= start) & (x < start + 100) & (y >= 80) & (y < 220) & (z >= 40) & (z < 260)] = LUNG
    hu[(x >= 320) & (x < 340) & (y >= 225) & (y < 245)] = BONE
    return hu


def test_the_lung_window_maps_its_edges_to_black_and_white() -> None:
    # level -600, width 1500: -1350 to 150 HU
    hu = np.array([-3000, -1350, -600, 150, 3000], np.float32)
    assert LUNG_WINDOW.grey(hu).tolist() == [0, 0, 128, 255, 255]


def test_slices_lie_in_the_middle_of_the_lung_and_not_of_the_volume() -> None:
    hu = np.concatenate([np.full((40, 160, 120), TISSUE, np.float32), chest()])
    slices = take_slices(hu, (5.0, 2.5, 2.5))
    assert (slices.axial == LUNG).sum() == 2 * 40 * 56
    assert (slices.coronal == LUNG).sum() == 2 * 40 * 44


def test_the_foam_of_a_table_is_no_lung() -> None:
    hu = chest()
    hu[:, 20:140, 102:116] = LUNG
    hu[:, 20:140, 116:118] = TISSUE
    assert (take_slices(hu, (5.0, 2.5, 2.5)).coronal == LUNG).sum() == 2 * 40 * 44


def test_what_is_on_the_patients_left_and_back_is_at_the_right_and_below() -> None:
    axial = take_slices(chest(), (5.0, 2.5, 2.5)).axial
    rows, columns = np.nonzero(axial == BONE)
    assert rows.min() > axial.shape[0] / 2
    assert columns.min() > axial.shape[1] / 2


def test_the_head_is_up_in_the_coronal_slice() -> None:
    hu = chest()
    hu[:2] = BONE  # at the feet
    assert (take_slices(hu, (5.0, 2.5, 2.5)).coronal[-1] == BONE).all()


@pytest.mark.parametrize("spacing_mm", [(5.0, 2.5, 2.5), (2.5, 5.0, 2.5), (10.0, 2.5, 1.25)])
def test_pixels_are_square_whatever_the_voxels_are(spacing_mm, tmp_path: Path) -> None:
    tile = Tile(title="q", slices=take_slices(chest(spacing_mm=spacing_mm), spacing_mm))
    path = tmp_path / "hits.png"
    draw_hits(tile, [], path)
    with Image.open(path) as picture:
        white = np.asarray(picture.convert("L"))[13:307, 13:307] > 200
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    across = (columns[-1] - columns[0]) / (rows[-1] - rows[0])
    assert across == pytest.approx(300 / 200, rel=0.05)


def test_every_hit_has_its_place_and_a_case_without_voxels_an_empty_frame(tmp_path: Path) -> None:
    drawn = Tile(title="drawn", lines=("a line",), slices=take_slices(chest(), (5.0, 2.5, 2.5)))
    absent = Tile(title="absent\x1b[31m", lines=("a line " * 40,), instead="A report says so. " * 40)
    draw_hits(absent, [drawn] * 5, tmp_path / "hits.png")
    with Image.open(tmp_path / "hits.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (3 * 310 + 10, 2 * 654 + 38)
        grey = np.asarray(picture.convert("L"))
    assert (grey[60:250, 340:600] > 200).mean() > 0.1  # the second frame of the first row
    assert (grey[300:540, 20:290] > 200).mean() == 0


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot be written to .*No such file"):
        draw_hits(Tile(title="q"), [], tmp_path / "missing" / "hits.png")


def test_a_phantom_is_drawn_finer_than_it_is_encoded_and_a_lost_file_not_at_all(tmp_path: Path) -> None:
    slices = slices_at("phantom:5/1_a/1")
    assert slices.spacing_mm == (4.0, 2.0, 2.0)
    assert (slices.axial < -700).mean() > 0.1
    with pytest.raises(VolumeError, match=r"gone\.nii\.gz"):
        slices_at(str(tmp_path / "gone.nii.gz"))
