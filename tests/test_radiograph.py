"""Digitally reconstructed radiographs: attenuation worked by hand, and which side is where."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from chat.radiograph import attenuation, film, write_radiograph
from encoders.errors import DatasetError, VolumeError
from tests.command import Command
from tests.shared import shared_file

AIR, WATER = -1000.0, 0.0


def box(value: float = AIR) -> np.ndarray:
    return np.full((4, 5, 6), value, np.float32)


@pytest.mark.parametrize(
    ("hu", "view", "expected"),
    [
        (WATER, "frontal", 6 * 3 * 0.0206),  # six voxels of 3 mm of water
        (WATER, "lateral", 5 * 2 * 0.0206),
        (1000.0, "frontal", 2 * 6 * 3 * 0.0206),  # twice as dense
        (AIR, "frontal", 0),
        (-3000.0, "frontal", 0),  # what lies outside a round field of view is air too
    ],
)
def test_attenuation_is_that_of_the_water_a_ray_passes(hu: float, view, expected: float) -> None:
    rays = attenuation(box(hu), (1.0, 2.0, 3.0), view)
    assert rays.shape == ((4, 5) if view == "frontal" else (4, 6))
    np.testing.assert_allclose(rays, expected, rtol=1e-6)


def test_the_patients_left_is_on_the_right_and_the_patient_looks_left() -> None:
    volume = box()
    volume[3, 4, 0] = WATER  # superior, left, anterior
    assert np.argwhere(attenuation(volume, (1, 1, 1), "frontal")).tolist() == [[0, 4]]
    assert np.argwhere(attenuation(volume, (1, 1, 1), "lateral")).tolist() == [[0, 0]]


def test_a_film_without_a_body_is_black_and_bone_is_lighter_than_lung() -> None:
    assert not film(np.zeros((3, 3), np.float32)).any()
    grey = film(np.array([[0.0, 1.0, 2.0, 4.0]], np.float32))
    assert grey[0, 0] == 0
    assert grey[0, 1] < grey[0, 2] < grey[0, 3]


def test_a_phantom_becomes_a_picture_whose_lungs_are_darker_than_its_middle(tmp_path: Path) -> None:
    write_radiograph("phantom:7/3_a/1", tmp_path / "a.png", "frontal")
    grey = np.asarray(Image.open(tmp_path / "a.png"))
    rows, columns = (length // 3 for length in grey.shape)
    middle = grey[rows : 2 * rows]
    edge = middle[:, columns // 2 : columns]
    assert grey.dtype == np.uint8
    assert np.median(edge[edge > 0]) < np.median(
        middle[:, columns + columns // 3 : 2 * columns - columns // 3]
    )


def test_a_file_is_turned_towards_the_patient_before_it_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = shared_file("ct/mini")
    file = sorted(path for path in source.iterdir() if path.name.endswith(".nii.gz") and "lung" in path.name)[
        0
    ]
    stored = nib.load(file)
    turned = nib.as_closest_canonical(stored)
    nib.save(turned, tmp_path / "turned.nii.gz")
    for name, path in (("a", file), ("b", tmp_path / "turned.nii.gz")):
        ended = Command(capsys, monkeypatch)(
            "drr", path, "--out", tmp_path / f"{name}.png", "--view", "lateral"
        )
        assert ended.code == 0, ended.err
    first, second = (np.asarray(Image.open(tmp_path / f"{name}.png"), np.int16) for name in "ab")
    assert first.std() > 20
    assert np.abs(first - second).max() <= 1


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError):
        write_radiograph(str(tmp_path / "none.nii.gz"), tmp_path / "a.png", "frontal")
    with pytest.raises(DatasetError):
        write_radiograph("phantom:x", tmp_path / "a.png", "frontal")
