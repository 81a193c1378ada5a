"""From a source to pairs: what is read of it, and volumes that are decoded once."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders.config import VolumeGrid
from encoders.errors import ConfigError, DatasetError, VolumeError
from encoders.volumes import load_volume
from retrieval.cases import VolumeFile
from retrieval.datasets.phantom import TRAINING_SEEDS, draw_volume
from tests.datasets import make_table
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from training.examples import Example, PairExamples, open_training_source, read_examples
from training.volume_cache import VolumeCache

GRID = VolumeGrid(slices=16, rows=32, columns=32, slice_mm=15.0, pixel_mm=12.0)


@pytest.fixture
def ct_rate(tmp_path: Path) -> Path:
    """Two patients, three scans, four reconstructions with a file; train_2_b has no report."""
    folder = tmp_path / "ct-rate"
    folder.mkdir()
    for name in ("train_1_a_1", "train_1_a_2", "train_2_a_1", "train_2_b_1"):
        write_nifti(folder / f"{name}.nii.gz", as_xyz(chest_hu()))
    make_table(
        folder / "reports.csv",
        "VolumeName,Findings_EN,Impressions_EN",
        "train_1_a,A nodule of 7 mm. No effusion.,Nodule.",
        "train_2_a,Emphysema.,Not given.",
        "train_3_a,Nothing has arrived yet.,None.",
    )
    make_table(
        folder / "labels.csv", "VolumeName,Lung nodule,Emphysema", "train_1_a_1,1,0", "train_2_a_1,0,1"
    )
    return folder


def names(examples: tuple[Example, ...]) -> list[str]:
    return [example.name for example in examples]


def test_a_volume_is_learnt_from_with_the_report_and_the_labels_of_its_study(ct_rate: Path) -> None:
    found = read_examples(open_training_source(str(ct_rate)))
    assert names(found) == ["train_1_a_1", "train_1_a_2", "train_2_a_1"]
    assert [example.study for example in found] == ["train_1_a", "train_1_a", "train_2_a"]
    assert found[1].report.text == "A nodule of 7 mm. No effusion. Nodule."
    assert found[1].labels == {"Lung nodule": True, "Emphysema": False}
    assert names(read_examples(open_training_source(str(ct_rate)), needs="labels")) == names(found)


def test_sections_and_one_volume_a_patient_are_choices(ct_rate: Path) -> None:
    impressions = read_examples(open_training_source(str(ct_rate)), sections="impression")
    assert names(impressions) == ["train_1_a_1", "train_1_a_2"]  # the other has none
    assert {example.report.text for example in impressions} == {"Nodule."}
    findings = read_examples(open_training_source(str(ct_rate)), sections="findings")
    assert findings[0].report.text == "A nodule of 7 mm. No effusion."
    single = read_examples(open_training_source(str(ct_rate)), one_per_patient=True)
    assert [example.patient for example in single] == ["train_1", "train_2"]
    few, more = (
        read_examples(open_training_source(f"{n}:{TRAINING_SEEDS.start}"), one_per_patient=True)
        for n in (3, 6)
    )
    assert names(more)[:3] == names(few)  # what was drawn for a smaller run serves a larger one


def test_a_share_is_of_patients_and_part_of_every_larger_one() -> None:
    source = open_training_source(f"40:{TRAINING_SEEDS.start}")
    patients = [
        {example.patient for example in read_examples(source, share=share)}
        for share in (0.098, 0.2, 0.8, 1.0)
    ]
    assert [len(some) for some in patients] == [4, 8, 32, 40]
    assert patients[0] < patients[1] < patients[2] < patients[3]


def test_without_reports_or_files_there_is_nothing_to_learn(tmp_path: Path) -> None:
    write_nifti(tmp_path / "train_1_a_1.nii.gz", as_xyz(chest_hu()))
    with pytest.raises(DatasetError, match="none of 1 volumes has a file and a report"):
        read_examples(open_training_source(str(tmp_path)))


@pytest.mark.parametrize("data", ["200:7", f"200:{TRAINING_SEEDS.stop}"])
def test_training_on_phantoms_that_an_archive_may_hold_is_refused(data: str) -> None:
    with pytest.raises(ConfigError, match="not among those that training draws from"):
        open_training_source(data)


def test_a_pair_differs_between_epochs_by_its_short_text_and_a_small_shift() -> None:
    examples = read_examples(open_training_source(f"3:{TRAINING_SEEDS.start}"), one_per_patient=True)
    pairs = PairExamples(examples, VolumeCache(folder=None, grid=GRID), farthest_shift=1, seed=5)
    again = PairExamples(examples, VolumeCache(folder=None, grid=GRID), farthest_shift=1, seed=5)
    epochs = [pairs.load(2, epoch) for epoch in range(4)]
    assert np.array_equal(epochs[1].volume_DHW, again.load(2, 1).volume_DHW)
    assert epochs[1].short == again.load(2, 1).short
    assert len({pair.short.text for pair in epochs}) > 1
    still = PairExamples(examples, VolumeCache(folder=None, grid=GRID)).load(2, 0).volume_DHW
    moved = [np.argwhere([np.array_equal(np.roll(still, (d, h, w), (0, 1, 2)), pair.volume_DHW)
              for d in (-1, 0, 1) for h in (-1, 0, 1) for w in (-1, 0, 1)]) for pair in epochs]  # fmt: skip
    assert all(len(places) == 1 for places in moved)
    assert len({int(places[0, 0]) for places in moved}) > 1


# --- the cache --------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> VolumeFile:
    path = write_nifti(tmp_path / "scan.nii.gz", as_xyz(chest_hu()))
    return VolumeFile(kind="nifti", uri=str(path), paths=(path,))


def stored(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.hu"))


def test_a_volume_is_that_of_the_preprocessing_to_half_a_hounsfield_unit(
    file: VolumeFile, tmp_path: Path
) -> None:
    found = VolumeCache(folder=tmp_path / "cache", grid=GRID).read(file)
    assert found.dtype == np.float32
    assert np.abs(found - load_volume(file.paths[0], grid=GRID)).max() <= 0.0005001
    assert np.array_equal(found, VolumeCache(folder=None, grid=GRID).read(file))


def test_what_is_in_the_cache_is_not_decoded_again(file: VolumeFile, tmp_path: Path) -> None:
    cache = VolumeCache(folder=tmp_path / "cache", grid=GRID)
    first = cache.read(file)
    stat = file.paths[0].stat()
    file.paths[0].write_bytes(b"x" * stat.st_size)  # the same size and time: nobody looks inside
    os.utime(file.paths[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert np.array_equal(cache.read(file), first)
    os.utime(file.paths[0])
    with pytest.raises(VolumeError):
        cache.read(file)


def test_other_bytes_grids_and_rescales_are_kept_apart_and_equal_bytes_together(
    file: VolumeFile, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    VolumeCache(folder=folder, grid=GRID).read(file)
    VolumeCache(folder=folder, grid=replace(GRID, slices=8)).read(file)
    VolumeCache(folder=folder, grid=GRID).read(replace(file, table_spacing_mm=(4.0, 4.0, 5.0)))
    assert len(stored(folder)) == 3
    copy = tmp_path / "copy.nii.gz"
    copy.write_bytes(file.paths[0].read_bytes())
    VolumeCache(folder=folder, grid=GRID).read(VolumeFile(kind="nifti", uri=str(copy), paths=(copy,)))
    assert len(stored(folder)) == 3


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_of_the_cache_is_made_again(
    file: VolumeFile, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = VolumeCache(folder=tmp_path / "cache", grid=GRID)
    first = cache.read(file)
    (path,) = stored(tmp_path / "cache")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10
    path.write_bytes(
        {"cut": whole[:-9], "flip": bytes(flipped), "empty": b"", "other": b"CTSVOL01" * 9}[damage]
    )
    assert np.array_equal(cache.read(file), first)
    assert path.read_bytes() == whole
    assert "made again" in caplog.text


def test_a_cache_without_room_only_costs_time(file: VolumeFile, tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("no folder")
    found = VolumeCache(folder=blocked, grid=GRID).read(file)
    assert np.array_equal(found, VolumeCache(folder=None, grid=GRID).read(file))


def test_processes_may_fill_one_cache_at_once(tmp_path: Path) -> None:
    uri = f"phantom:{TRAINING_SEEDS.start}/1_a/1"
    cache = VolumeCache(folder=tmp_path / "cache", grid=GRID)
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(cache.read, [VolumeFile(kind="phantom", uri=uri)] * 4))
    assert all(np.array_equal(one, found[0]) for one in found)
    assert len(stored(tmp_path / "cache")) == 1
    assert not list((tmp_path / "cache").rglob(".*"))
    assert found[0].shape == GRID.shape
    assert draw_volume(uri)[0].max() > 100  # a body was drawn, not air
    assert found[0].max() > 0.1
