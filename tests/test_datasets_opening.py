"""The layout of a source is told by its names; where it cannot be told, the sentence says what was seen."""

from pathlib import Path

import pytest

from encoders.errors import ConfigError, DatasetError
from retrieval.cases import Case, Unreadable
from retrieval.datasets import SourceFormat, Tables, open_source
from retrieval.deidentify import KEY_BYTES, PseudonymKey
from tests.datasets import cases_of, make_files, make_series, make_table

KEY = PseudonymKey(b"k" * KEY_BYTES)


@pytest.mark.parametrize(
    ("files", "dataset"),
    [
        (("valid/valid_1/valid_1_a/valid_1_a_1.nii.gz",), "ct-rate"),
        (("train_1_a_1.nii.gz", "notes.txt"), "ct-rate"),
        (("trn00001.npz", "tst00002.npz"), "rad-chestct"),
        (("a.nii.gz", "b/c.nrrd"), "folder"),
        (("valid_1_a_1.nii.gz", "a.nii.gz", "b.nii.gz"), "folder"),
        (("trn00001.npz", "tst00002.npz", "a.nii.gz"), "rad-chestct"),
    ],
)
def test_the_layout_is_told_by_the_volumes(tmp_path: Path, files: tuple[str, ...], dataset: str) -> None:
    make_files(tmp_path, *files)
    source = open_source(str(tmp_path), key=KEY)
    assert source.dataset == dataset
    assert str(tmp_path) in source.warnings[0]
    assert "--format" in source.warnings[0]


def test_a_folder_of_dicom_is_told_by_content_whatever_the_names(tmp_path: Path) -> None:
    make_series(tmp_path)
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        path.rename(tmp_path / f"IM{number}")
    assert open_source(str(tmp_path), key=KEY).dataset == "dicom"


@pytest.mark.parametrize(
    ("rows", "dataset"),
    [
        (("VolumeName,Emphysema", "valid_1_a_1.nii.gz,1"), "ct-rate"),
        (("NoteAcc_DEID,Emphysema", "trn00001,1"), "rad-chestct"),
    ],
)
def test_without_volumes_the_tables_tell(tmp_path: Path, rows: tuple[str, ...], dataset: str) -> None:
    make_table(tmp_path / "labels.csv", *rows)
    assert open_source(str(tmp_path)).dataset == dataset
    empty = tmp_path / "empty"
    empty.mkdir()
    assert open_source(str(empty), tables=Tables(labels=tmp_path / "labels.csv")).dataset == dataset


@pytest.mark.parametrize(
    ("files", "seen"),
    [
        (("valid_1_a_1.nii.gz", "brain.nii.gz"), "1 volumes named as CT-RATE's and 1 other volume files"),
        (("valid_1_a_1.nii.gz", "trn00001.npz"), "named as CT-RATE's and 1 volumes named as RAD-ChestCT's"),
        (("notes.txt",), "no volume and no table"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_was_seen(
    tmp_path: Path, files: tuple[str, ...], seen: str
) -> None:
    make_files(tmp_path, *files)
    with pytest.raises(DatasetError, match=seen) as refusal:
        open_source(str(tmp_path), key=KEY)
    assert "--format ct-rate, rad-chestct, folder, dicom or phantom" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_dicom_beside_ct_rate_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "valid_1_a_1.nii.gz", "valid_1_a_2.nii.gz")
    make_series(tmp_path / "dicom")
    with pytest.raises(DatasetError, match="2 volumes named as CT-RATE's and DICOM files: say how"):
        open_source(str(tmp_path), key=KEY)


def test_a_source_that_is_not_there_or_a_file_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "scan.nii.gz")
    with pytest.raises(DatasetError, match="No such file"):
        open_source(str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="is a file: give the folder"):
        open_source(str(tmp_path / "scan.nii.gz"))


@pytest.mark.parametrize("layout", ["auto", "phantom"])
def test_numbers_are_a_phantom_cohort(layout: SourceFormat) -> None:
    source = open_source("3:9", format=layout)
    assert (source.dataset, source.anonymous, source.count) == ("phantom", True, 3)
    assert len(cases_of(source)) == 3
    assert "synthetic" in source.warnings[0]


def test_a_folder_named_like_a_number_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path / "2021", "a.nii.gz")
    monkeypatch.chdir(tmp_path)
    assert open_source("2021", key=KEY).dataset == "folder"


def test_what_is_to_be_deidentified_needs_a_key(tmp_path: Path) -> None:
    make_files(tmp_path, "a.nii.gz")
    with pytest.raises(ConfigError, match="pseudonym key"):
        open_source(str(tmp_path))
    assert open_source(str(tmp_path), anonymous=True).anonymous


def test_a_source_can_be_gone_through_again(tmp_path: Path) -> None:
    make_files(tmp_path, "a.nii.gz")
    table = make_table(tmp_path / "t.csv", "name,report", "a,Dr. Roe saw it.")
    source = open_source(str(tmp_path), tables=Tables(reports=table), key=KEY)
    assert cases_of(source) == cases_of(source)
    assert source.removed == {"name": 1}


def test_one_stray_file_does_not_hide_a_layout(tmp_path: Path) -> None:
    make_files(tmp_path, "valid_1_a_1.nii.gz", "valid_1_a_2.nii.gz", "broken.nii.gz")
    source = open_source(str(tmp_path))
    assert source.dataset == "ct-rate"
    entries = list(source)
    assert [entry.study for entry in entries if isinstance(entry, Case)] == ["valid_1_a"]
    assert [entry for entry in entries if isinstance(entry, Unreadable) and "broken" in entry.item]
