"""What is kept to be looked at: read once however many ask, bounded, gone when removed."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from encoders.errors import UnknownNameError, VolumeError
from retrieval.cases import VolumeFile
from retrieval.hu_nifti import Grid, coarse_slice, hounsfield_slice, map_voxels, write_nifti
from retrieval.kept_views import KeptViews
from retrieval.viewing import VolumeViews
from retrieval.voxel_sources import VoxelSource, upload_source
from tests.viewed_archive import write_marked

CONTENT = bytes(32)


def uploaded(engine: Engine, path: Path, upload_id: str = "u1") -> VoxelSource:
    """An upload that is one file."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO upload (id, actor, name, size, sha256) VALUES (:id, 'a', 'n', 1, :sha256)"),
            {"id": upload_id, "sha256": upload_id.encode()},
        )
    return upload_source(
        upload_id, upload_id.encode(), VolumeFile(kind="nifti", uri=str(path), paths=(path,))
    )


def views_in(folder: Path, engine: Engine, **settings) -> VolumeViews:
    return VolumeViews(engine, KeptViews(folder=folder, **settings), key=lambda: None)


def test_a_volume_that_many_ask_for_is_read_once(engine: Engine, tmp_path: Path) -> None:
    source = uploaded(engine, write_marked(tmp_path / "scan.nii.gz"))
    views = views_in(tmp_path / "views", engine)
    assert views.find(source) is None
    futures = []
    threads = [threading.Thread(target=lambda: futures.append(views.open(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    paths = {future.result() for future in futures}
    assert len(paths) == 1
    (tmp_path / "scan.nii.gz").unlink()  # what is kept is enough from here on
    assert views.open(source).result() in paths
    assert views.find(source).grid.shape == (40, 96, 96)


def test_a_file_that_is_no_ct_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"no CT")
    source = uploaded(engine, tmp_path / "scan.nii.gz")
    views = views_in(tmp_path / "views", engine)
    with pytest.raises(VolumeError):
        views.open(source).result()
    assert views.find(source) is None


def test_what_is_removed_while_it_is_read_is_not_kept(engine: Engine, tmp_path: Path) -> None:
    source = uploaded(engine, write_marked(tmp_path / "scan.nii.gz"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM upload"))
    with pytest.raises(UnknownNameError, match="removed meanwhile"):
        views_in(tmp_path / "views", engine).open(source).result()
    assert [path for path in (tmp_path / "views").rglob("*") if path.is_file()] == []


def test_a_kept_file_that_was_cut_short_is_not_shown(engine: Engine, tmp_path: Path) -> None:
    source = uploaded(engine, write_marked(tmp_path / "scan.nii.gz"))
    views = views_in(tmp_path / "views", engine)
    path = views.open(source).result()
    os.truncate(path, 1000)
    with pytest.raises(Exception, match="ask once more"):
        views.find(source).voxels()


def test_what_was_looked_at_longest_ago_goes_when_there_is_too_much(tmp_path: Path) -> None:
    kept = KeptViews(folder=tmp_path, most_bytes=250)
    for number in range(2):
        path = kept.keep(bytes([number]) * 32, "a", lambda stream: stream.write(bytes(100)))
        os.utime(path, (number + 1, number + 1))
    assert kept.find(bytes([0]) * 32, "a") is not None  # looked at: the other is older now
    kept.keep(bytes([2]) * 32, "a", lambda stream: stream.write(bytes(100)))
    assert [kept.find(bytes([number]) * 32, "a") is not None for number in range(3)] == [True, False, True]


def test_what_a_killed_process_left_goes_after_an_hour(tmp_path: Path) -> None:
    kept = KeptViews(folder=tmp_path)
    path = kept.keep(CONTENT, "a", lambda stream: stream.write(b"1"))
    old, young = path.with_name(".a.old"), path.with_name(".a.young")
    old.write_bytes(b"1")
    young.write_bytes(b"1")
    os.utime(old, (1, 1))
    kept.keep(CONTENT, "b", lambda stream: stream.write(b"1"))
    assert (old.exists(), young.exists()) == (False, True)


def test_forgetting_leaves_other_volumes(tmp_path: Path) -> None:
    kept = KeptViews(folder=tmp_path)
    for content in (CONTENT, bytes([1]) * 32):
        kept.keep(content, "a", lambda stream: stream.write(b"1"))
    kept.forget([CONTENT, bytes([9]) * 32])
    assert kept.find(CONTENT, "a") is None
    assert kept.find(bytes([1]) * 32, "a") is not None


def test_hounsfield_units_are_rounded_and_stay_in_sixteen_bits() -> None:
    stored = np.array([[0.4, 0.6, 40000.0, -40000.0]])
    assert hounsfield_slice(stored, 1, 0).tolist() == [[0, 1, 32767, -32768]]
    assert hounsfield_slice(np.array([[1000]], np.uint16), 2, -1024).tolist() == [[976]]


def test_a_voxel_that_two_coarse_ones_share_counts_in_both_by_its_parts() -> None:
    voxels_SPL = np.arange(3 * 3 * 5, dtype=np.int16).reshape(3, 3, 5) * 10
    grid = Grid(shape=(3, 3, 5), spacing_mm=(4, 3, 2), key=(1, 1, 2))
    coarser = grid.coarser(3)
    assert coarser.shape == (3, 3, 3)
    assert coarser.spacing_mm == pytest.approx((4, 3, 10 / 3))
    assert coarser.key == pytest.approx((1, 1, 1))  # the middle stays the middle
    row = voxels_SPL[1, 2].astype(float)
    expected = [(row[0] + row[1] * 2 / 3) / (5 / 3), (row[1] / 3 + row[2] + row[3] / 3) / (5 / 3)]
    np.testing.assert_allclose(coarse_slice(voxels_SPL, coarser.shape, 1)[2, :2], expected, atol=0.5)
    halves = coarse_slice(voxels_SPL, (2, 2, 2), 1)
    assert halves[1, 1] == round(
        np.average(
            voxels_SPL[1:, 1:, 2:], weights=np.multiply.outer(np.outer([0.5, 1], [0.5, 1]), [0.5, 1, 1])
        )
    )


@pytest.mark.parametrize("edge", [40, 96, 256])
def test_a_preview_fills_the_space_of_its_volume_whatever_the_sizes(edge: int) -> None:
    grid = Grid(shape=(77, 173, 181), spacing_mm=(4.3, 2.1, 1.9), key=(38, 80, 90))
    coarser = grid.coarser(edge)
    assert max(coarser.shape) <= edge
    filled = np.multiply(coarser.shape, coarser.spacing_mm)
    np.testing.assert_allclose(filled, np.multiply(grid.shape, grid.spacing_mm))
    before, after = (np.multiply(np.add(one.key, 0.5), one.spacing_mm) for one in (grid, coarser))
    np.testing.assert_allclose(after, before)  # the key lies as far from the edge


def test_written_voxels_are_read_where_they_were_written(tmp_path: Path) -> None:
    voxels_SPL = np.random.default_rng(0).integers(-1000, 1000, (3, 4, 5)).astype(np.int16)
    grid = Grid(shape=(3, 4, 5), spacing_mm=(3, 2, 1), key=(1, 1, 1))
    stream = io.BytesIO()
    write_nifti(stream, grid, lambda index: voxels_SPL[index])
    (tmp_path / "voxels.nii").write_bytes(stream.getvalue())
    np.testing.assert_array_equal(map_voxels(tmp_path / "voxels.nii", (3, 4, 5)), voxels_SPL)
