"""Names of volume files: one list of endings for archives and for searches by name."""

import subprocess
import sys

import pytest

from retrieval.volume_names import VOLUME_ENDINGS, volume_kind, without_ending


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("a.nii.gz", "a"),
        ("B/c.NII", "B/c"),
        ("a.b.nrrd", "a.b"),
        ("a.nhdr", "a"),
        ("trn00001.npz", "trn00001"),
        ("IM1.dcm", "IM1"),
        ("a.raw", "a.raw"),
        ("nii", "nii"),
        ("", ""),
    ],
)
def test_an_ending_is_taken_off_once_whatever_its_case(name: str, bare: str) -> None:
    assert without_ending(name) == bare


def test_a_volume_is_told_by_its_ending_and_raw_voxels_alone_are_none() -> None:
    assert [volume_kind(f"A{ending.upper()}") for ending in VOLUME_ENDINGS] == list(VOLUME_ENDINGS.values())
    assert [volume_kind(name) for name in ("a.raw", "a.raw.gz", "a.dcm", "notes.txt")] == [None] * 4


def test_names_are_searched_without_the_readers() -> None:
    code = (
        "import sys, retrieval.named_cases\n"
        "print(sorted({'pydicom', 'SimpleITK', 'nibabel', 'torch'} & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
