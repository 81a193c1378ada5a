"""`ctsearch index` from end to end: real files, a real database, the encoder that is shipped."""

import csv
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nibabel as nib
import numpy as np
import psycopg
import pytest

from tests.command import Command, Finished
from tests.shared import shared_file
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.tiny_model import write_tiny_model

VOLUMES = "SELECT name FROM volume JOIN embedding ON volume_id = volume.id ORDER BY name"
Index = Callable[..., Finished]
NOBODY = 65534
NEAR_UNIQUE = """
    SELECT count(*), count(DISTINCT (collection_id, volume_id, report_id)) FROM embedding
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real encoder, tiny and with random weights."""
    directory = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(directory)
    return directory


@pytest.fixture
def index(ctsearch: Command, model: Path) -> Index:
    """Run `ctsearch index` with the tiny encoder, as on a source that is anonymous already."""
    return lambda *arguments: ctsearch("index", *arguments, "--encoder", model, "--anonymous", "--json")


@pytest.fixture
def ctsearch(database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


def write_ct(path: Path, noise: float = 10.0) -> Path:
    """Write a drawn chest; another noise is another scan."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_nifti(path, as_xyz(chest_hu(noise=noise)))


def make_archive(folder: Path, count: int) -> Path:
    """Write a folder of different scans."""
    for number in range(count):
        write_ct(folder / f"scan{number:02}.nii.gz", noise=5.0 + number)
    return folder


def write_table(path: Path, header: list[str], *rows: list[str], encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def test_a_second_run_finds_nothing_to_do(index: Index) -> None:
    first = index("3:5", "--format", "phantom")
    assert first.code == 0, first.err
    assert first.json["unchanged"] == first.json["updated"] == 0
    again = index("3:5", "--format", "phantom")
    assert again.json["indexed"] == again.json["updated"] == 0
    assert again.json["unchanged"] == first.json["indexed"]


def test_a_larger_archive_adds_only_what_is_new(
    index: Index, connection: psycopg.Connection, tmp_path: Path
) -> None:
    assert index(make_archive(tmp_path / "archive", 3)).json["indexed"] == 3
    large = index(make_archive(tmp_path / "archive", 5)).json
    assert (large["indexed"], large["updated"]) == (2, 0)
    assert connection.execute(NEAR_UNIQUE).fetchone() == (5, 5)


def test_a_changed_file_is_encoded_again_and_a_touched_one_is_not(index: Index, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    one = write_ct(archive / "one.nii.gz")
    write_ct(archive / "two.nii.gz", 20.0)
    assert index(archive).json["indexed"] == 2
    write_ct(one, 30.0)
    os.utime(archive / "two.nii.gz", ns=(1, 1))
    again = index(archive).json
    assert (again["indexed"], again["updated"], again["unchanged"]) == (0, 1, 1)


def test_equal_bytes_under_another_name_are_another_case_and_are_flagged(
    index: Index, connection: psycopg.Connection, tmp_path: Path
) -> None:
    one = write_ct(tmp_path / "archive" / "one.nii.gz")
    shutil.copy(one, one.with_name("two.nii.gz"))
    summary = index(tmp_path / "archive").json
    assert summary["indexed"] == 2
    assert any("same bytes" in warning for warning in summary["warnings"])
    assert [name for (name,) in connection.execute(VOLUMES)] == ["one", "two"]


def test_bad_files_are_listed_with_their_reasons_and_stop_nothing(
    index: Index, connection: psycopg.Connection, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    good = write_ct(archive / "good.nii.gz")
    whole = good.read_bytes()
    (archive / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (archive / "empty.nii.gz").write_bytes(b"")
    (archive / "text.nii.gz").write_text("this is no CT")
    (archive / "gzipped_text.nii.gz").write_bytes(gzip.compress(b"neither is this"))
    for name, shape in (("flat", (64, 64)), ("film", (32, 32, 16, 3))):
        nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), archive / f"{name}.nii.gz")
    bad = ["empty", "film", "flat", "gzipped_text", "text", "truncated"]
    table = tmp_path / "failures.csv"
    ended = index(archive, "--failures", table)
    assert ended.code == 3
    assert ended.json["indexed"] == 1
    assert sorted(Path(entry["item"]).name for entry in ended.json["failed"]) == [f"{n}.nii.gz" for n in bad]
    assert all(entry["error"] and "\n" not in entry["error"] for entry in ended.json["failed"])
    assert "Traceback" not in ended.err
    assert len(list(csv.DictReader(table.open(encoding="utf-8")))) == len(bad)
    assert [name for (name,) in connection.execute(VOLUMES)] == ["good"]
    (archive / "empty.nii.gz").write_bytes(whole)
    again = index(archive)
    assert again.json["indexed"] == 1
    assert len(again.json["failed"]) == len(bad) - 1


def test_a_label_that_changes_in_the_table_changes_in_the_archive(
    index: Index, ctsearch: Command, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    write_ct(archive / "one.nii.gz")
    labels = tmp_path / "labels.csv"
    write_table(labels, ["VolumeName", "Emphysema"], ["one.nii.gz", "0"])
    assert index(archive, "--labels", labels).json["indexed"] == 1
    assert ctsearch("cases", "list", "--label", "Emphysema", "--json").json["count"] == 0
    write_table(labels, ["VolumeName", "Emphysema"], ["one.nii.gz", "1"])
    assert index(archive, "--labels", labels).json["updated"] == 1
    assert ctsearch("cases", "list", "--label", "Emphysema", "--json").json["count"] == 1


def test_one_report_text_for_two_patients_is_two_cases(
    index: Index, connection: psycopg.Connection, tmp_path: Path
) -> None:
    reports = write_table(
        tmp_path / "reports.csv",
        ["VolumeName", "Findings_EN", "Impressions_EN"],
        ["valid_1_a", "No pleural effusion.", "Normal."],
        ["valid_2_a", "No pleural effusion.", "Normal."],
    )
    ended = index(tmp_path, "--format", "ct-rate", "--reports", reports)
    assert ended.json["indexed"] == 2, ended.err
    rows = connection.execute("SELECT count(*), count(DISTINCT text_sha256) FROM report").fetchone()
    assert rows == (2, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_without_read_permission_is_listed(
    index: Index, model: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    write_ct(archive / "open.nii.gz")
    assert index(archive).code == 0  # and imports what only root may read
    write_ct(archive / "locked.nii.gz", 20.0).chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2], *model.parents[:1]):
        folder.chmod(folder.stat().st_mode | 0o011)
    for path in (tmp_path / "home", *(tmp_path / "home").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    passfile = Path(parse_qs(urlsplit(database).query)["passfile"][0])
    monkeypatch.setenv("PGPASSWORD", passfile.read_text(encoding="utf-8").strip().rsplit(":", 1)[-1])
    os.seteuid(NOBODY)
    try:
        ended = index(archive)
    finally:
        os.seteuid(0)
    assert ended.code == 3, ended.err
    assert ended.json["unchanged"] == 1
    (failure,) = ended.json["failed"]
    assert failure["item"].endswith("locked.nii.gz")
    assert "Permission denied" in failure["error"]


def test_every_real_ct_indexes_and_only_the_abdomen_is_doubted(index: Index) -> None:
    ended = index(shared_file("ct"))
    assert ended.code == 0, ended.err
    assert ended.json["indexed"] == 12
    doubted = [warning for warning in ended.json["warnings"] if "does not look like a chest" in warning]
    assert len(doubted) == 1
    assert "abdomen" in doubted[0]
    dicom = index(shared_file("dicom"))
    assert (dicom.code, dicom.json["indexed"]) == (0, 1), dicom.err


def test_one_reconstruction_finds_the_other_first(ctsearch: Command, model: Path) -> None:
    ctsearch("index", shared_file("ct/mini"), "--encoder", model, "--json")
    one = shared_file("ct/mini/lungdx_A0001_kernelL.nii.gz")
    found = ctsearch("search", "--volume", one, "--exclude", "none", "--json").json["hits"]
    names = [hit["metadata"]["source"] for hit in found]
    assert "kernelL" in names[0]
    assert "kernelB" in names[1]
    assert "kernel" not in found[0]["volume"]


def test_another_file_of_a_name_is_refused_while_the_first_is_there(index: Index, tmp_path: Path) -> None:
    first = write_ct(tmp_path / "A" / "scan.nii.gz")
    write_ct(tmp_path / "B" / "scan.nii.gz", 20.0)
    assert index(tmp_path / "A").json["indexed"] == 1
    refused = index(tmp_path / "B")
    assert refused.code == 3
    assert str(first) in refused.json["failed"][0]["error"]
    first.unlink()
    assert index(tmp_path / "B").json["updated"] == 1


def test_a_collection_follows_its_model_to_another_place(ctsearch: Command, tmp_path: Path) -> None:
    scan = write_ct(tmp_path / "archive" / "scan.nii.gz")
    write_tiny_model(tmp_path / "here", seed=3)
    assert ctsearch("index", scan.parent, "--anonymous", "--encoder", tmp_path / "here").code == 0
    (tmp_path / "here").rename(tmp_path / "there")
    lost = ctsearch("search", "--volume", scan)
    assert (lost.code, "Traceback" in lost.err) == (2, False)
    moved = ctsearch("index", scan.parent, "--anonymous", "--encoder", tmp_path / "there", "--json")
    assert moved.json["unchanged"] == 1
    found = ctsearch("search", "--volume", scan, "--exclude", "none", "--json")
    assert found.json["hits"][0]["volume"] == "scan"


def test_a_failure_list_that_cannot_be_written_stops_the_run_before_it_starts(
    index: Index, connection: psycopg.Connection, tmp_path: Path
) -> None:
    write_ct(tmp_path / "archive" / "scan.nii.gz")
    ended = index(tmp_path / "archive", "--failures", tmp_path / "nowhere" / "failures.csv")
    assert ended.code == 1
    assert "nowhere" in ended.err
    assert connection.execute("SELECT count(*) FROM volume").fetchone() == (0,)
