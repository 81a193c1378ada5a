"""A plain folder: names become pseudonyms, tables join by file name, what is ambiguous is refused."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from encoders.errors import DatasetError, VolumeError
from encoders.volumes import read_scan
from retrieval.cases import Case
from retrieval.datasets import Source, Tables, open_source
from retrieval.deidentify import KEY_BYTES, PseudonymKey
from retrieval.questions import volume_file
from retrieval.reading import file_sha256
from tests.datasets import cases_of, make_files, make_nifti, make_series, make_table, unreadable_of

KEY = PseudonymKey(b"k" * KEY_BYTES)


def opened(folder: Path, *, anonymous: bool = False, **tables: Path) -> Source:
    return open_source(str(folder), format="folder", tables=Tables(**tables), anonymous=anonymous, key=KEY)


def everything_but_identity(case: Case) -> str:
    """What is stored in clear: all but the sealed identity and the paths, which stay outside the database."""
    volumes = [(volume.name, volume.acquisition) for volume in case.volumes]
    return repr((case.patient, case.study, case.split, case.day, volumes, case.reports, case.labels))


def test_every_volume_file_is_a_study_of_its_own_under_a_pseudonym(tmp_path: Path) -> None:
    make_files(tmp_path, "doe_jane.nii.gz", "2021/doe_john.nii", "2021/roe.nrrd")
    make_files(tmp_path, ".hidden.nii.gz", "2021/.git/x.nii", "a.nii.gz.part", "~a.nii", "notes.txt", "x.npz")
    source = opened(tmp_path)
    assert (source.dataset, source.anonymous, source.count) == ("folder", False, 3)
    cases = cases_of(source)
    assert len({case.patient for case in cases} | {case.study for case in cases}) == 6
    for case in cases:
        assert case.patient.startswith("patient-")
        assert case.study.startswith("study-")
        assert [volume.name[:7] for volume in case.volumes] == ["volume-"]
        assert "doe" not in everything_but_identity(case).lower()
    kinds = sorted(volume.file.kind for case in cases for volume in case.volumes if volume.file)
    assert kinds == ["nifti", "nifti", "nrrd"]
    paths = {path for case in cases for name, path in case.identity.items() if name.endswith(".path")}
    assert paths == {str(tmp_path / one) for one in ("doe_jane.nii.gz", "2021/doe_john.nii", "2021/roe.nrrd")}
    json.dumps([dict(case.identity) for case in cases])  # as it is sealed


def test_what_is_no_volume_here_is_counted(tmp_path: Path) -> None:
    make_files(tmp_path, "a.nii.gz", "masks/a.npz", "masks/b.npz")
    (warning,) = opened(tmp_path).warnings
    assert "2 .npz files were passed over" in warning
    (tmp_path / "masks/a.npz").unlink()
    (tmp_path / "masks/b.npz").unlink()
    assert not opened(tmp_path).warnings


def test_a_detached_nrrd_header_is_one_volume_with_the_voxels_that_it_names(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.zeros((4, 4, 4), np.int16))
    for folder, name in (("one", "a.nhdr"), ("two", "a.nhdr"), ("two", "b.nrrd")):
        (tmp_path / folder).mkdir(exist_ok=True)
        SimpleITK.WriteImage(image, str(tmp_path / folder / name))
    (tmp_path / "one/a.raw").write_bytes(b"\1" * 128)  # the headers are the same, byte for byte
    source = open_source(str(tmp_path), key=KEY)
    assert source.dataset == "folder"
    files = [volume.file for case in cases_of(source) for volume in case.volumes if volume.file]
    paths = {tuple(str(path.relative_to(tmp_path)) for path in file.paths) for file in files}
    assert paths == {("one/a.nhdr", "one/a.raw"), ("two/a.nhdr", "two/a.raw"), ("two/b.nrrd",)}
    assert {file.kind for file in files} == {"nrrd"}
    assert len({file_sha256(file) for file in files}) == 3
    assert {file_sha256(file) for file in files} == {
        file_sha256(volume_file(file.paths[0])) for file in files
    }


def test_a_detached_header_without_its_voxels_is_a_volume_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.nhdr").write_text("NRRD0004\ntype: short\ndata file: gone.raw\n")
    (tmp_path / "b.nhdr").write_text("NRRD0004\ntype: short\ndata file: ../elsewhere.raw\n")
    cases = cases_of(opened(tmp_path))
    files = [volume.file for case in cases for volume in case.volumes if volume.file]
    assert [len(file.paths) for file in files] == [1, 1]
    for file in files:
        with pytest.raises(VolumeError):
            read_scan(file.paths[0])


def test_pseudonyms_stay_the_same_from_run_to_run_and_from_folder_to_folder(tmp_path: Path) -> None:
    make_files(tmp_path, "2021/a.nii.gz", "2022/a.nii.gz")
    names = {case.study for case in cases_of(opened(tmp_path))}
    assert names == {case.study for case in cases_of(opened(tmp_path))}
    assert len(names) == 2  # the same file name in two folders is two studies
    assert {case.study for case in cases_of(opened(tmp_path / "2021"))} < names


def test_an_anonymous_folder_keeps_its_names(tmp_path: Path) -> None:
    make_files(tmp_path, "scan1.nii.gz", "more/scan2.nrrd")
    table = make_table(tmp_path / "r.csv", "name,report", "scan1,Seen on 11.03.2021 by Dr. Roe.")
    source = opened(tmp_path, anonymous=True, reports=table)
    cases = {case.study: case for case in cases_of(source)}
    assert set(cases) == {"more/scan2", "scan1"}
    assert cases["scan1"].volumes[0].name == "scan1"
    assert cases["scan1"].reports[0].name == "scan1"
    assert cases["scan1"].reports[0].findings == "Seen on 11.03.2021 by Dr. Roe."
    assert cases["scan1"].identity == {}
    assert source.removed == {}


def test_tables_group_patients_and_texts_and_columns_are_scrubbed(tmp_path: Path) -> None:
    make_files(tmp_path, "a.nii.gz", "b.nii.gz", "c.nii.gz")
    metadata = make_table(
        tmp_path / "meta" / "metadata.csv",
        "File,PatientID,PatientName,StudyInstanceUID,AccessionNumber,StudyDate,PatientSex,PatientAge,KVP,Ward,split",
        "a.nii.gz,PAT-0815,DOE^JANE,1.2.3,ACC778812,20210301,F,092Y,120,7 West,train",
        "b.nii.gz,PAT-0815,DOE^JANE,1.2.3,ACC778812,20210301,F,092Y,120,7 West,train",
        "c.nii.gz,PAT-0815,DOE^JANE,1.2.4,ACC778813,20210401,F,092Y,120,7 West,train",
    )
    reports = make_table(
        tmp_path / "meta" / "reports.csv",
        "AccessionNumber,findings,impression",
        "ACC778813,Jane Doe (PAT-0815): stable since 01.03.2021.,Normal.",
    )
    labels = make_table(tmp_path / "meta" / "labels.csv", "name,Emphysema", "a,1", "b.nii.gz,1")
    source = opened(tmp_path, metadata=metadata, reports=reports, labels=labels)
    assert source.count == 2
    first, second = cases_of(source)
    assert first.patient == second.patient
    assert first.study != second.study
    assert (first.day, second.day) == (0, 31)
    assert (len(first.volumes), len(second.volumes)) == (2, 1)
    assert (first.split, first.labels, second.labels) == ("train", {"Emphysema": True}, {})
    acquisition = first.volumes[0].acquisition
    assert (acquisition.sex, acquisition.age_years, acquisition.other) == ("F", 90.0, {"KVP": "120"})
    assert second.reports[0].findings == "[name] ([id]): stable since day 0."
    assert source.removed == {"table column": 3, "name": 1, "identifier": 1, "date": 1}
    assert second.identity["accession"] == "ACC778813"
    assert second.identity["first_study_date"] == "2021-03-01"
    stored = everything_but_identity(first) + everything_but_identity(second)
    for secret in ("DOE", "Doe", "PAT-0815", "ACC7788", "1.2.3", "20210301", "2021", "7 West", "a.nii"):
        assert secret not in stored


def test_tables_in_the_folder_are_found(tmp_path: Path) -> None:
    make_files(tmp_path, "scan1.nii.gz")
    make_table(
        tmp_path / "reports.csv", "VolumeName,Findings_EN,Impressions_EN", "scan1.nii.gz,Clear.,Normal."
    )
    make_table(tmp_path / "failures.csv", "item,error", "x,y")
    source = opened(tmp_path)
    assert [case.reports[0].findings for case in cases_of(source)] == ["Clear."]
    assert any("reports.csv was taken" in warning for warning in source.warnings)


def test_a_found_table_that_names_nothing_here_is_left_out(tmp_path: Path) -> None:
    make_files(tmp_path, "scan1.nii.gz")
    make_table(tmp_path / "reports.csv", "name,report", "somewhere_else,Clear.")
    source = opened(tmp_path)
    assert [len(case.reports) for case in cases_of(source)] == [0]
    assert any("names no file of the folder" in warning for warning in source.warnings)


def test_rows_without_a_file_are_kept_and_joined_when_it_arrives(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t" / "labels.csv", "name,Emphysema", "scan1,1", "scan2,0")
    make_files(tmp_path / "archive", "scan1.nii.gz")
    before = {case.study: case for case in cases_of(opened(tmp_path / "archive", labels=table))}
    assert sorted(volume.file is None for case in before.values() for volume in case.volumes) == [False, True]
    make_files(tmp_path / "archive", "scan2.nii.gz")
    after = {case.study: case for case in cases_of(opened(tmp_path / "archive", labels=table))}
    assert set(before) == set(after)
    assert all(volume.file is not None for case in after.values() for volume in case.volumes)


def test_a_name_that_two_files_have_is_refused_unless_the_path_is_given(tmp_path: Path) -> None:
    make_files(tmp_path, "left/scan.nii.gz", "right/scan.nii.gz", "other.nii.gz")
    table = make_table(
        tmp_path / "t" / "labels.csv", "name,Emphysema", "scan,1", "other,1", "right/scan.nii.gz,0"
    )
    source = opened(tmp_path, labels=table, anonymous=True)
    assert [one.error for one in unreadable_of(source)] == [
        "labels.csv: line 2 may mean 2 studies: give the file's path, the study or the accession number"
    ]
    assert {case.study: dict(case.labels) for case in cases_of(source)} == {
        "left/scan": {},
        "right/scan": {"Emphysema": False},
        "other": {"Emphysema": True},
    }


def test_one_name_with_two_endings_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "scan.nii", "scan.nii.gz", "b.nii")
    source = opened(tmp_path)
    assert [one.item for one in unreadable_of(source)] == ["scan"]
    assert len(cases_of(source)) == 1


def test_dicom_series_beside_other_volumes_are_taken_too(tmp_path: Path) -> None:
    make_nifti(tmp_path / "scan1.nii.gz")
    make_series(tmp_path / "dicom" / "one")
    table = make_table(
        tmp_path / "t" / "r.csv", "name,PatientID,report", "scan1,,Clear.", ",PAT-0815,Nodule."
    )
    source = open_source(str(tmp_path), tables=Tables(reports=table), key=KEY)
    assert (source.dataset, source.count) == ("folder", None)
    found = {
        volume.file.kind: case.reports[0].findings
        for case in cases_of(source)
        for volume in case.volumes
        if volume.file
    }
    assert found == {"nifti": "Clear.", "dicom": "Nodule."}
    assert {case.dataset for case in cases_of(source)} == {"folder", "dicom"}


def test_a_folder_that_may_not_be_listed_is_reported_and_the_rest_goes_on() -> None:
    """Root lists everything, so the attempt is made by a child that has given up its rights."""
    archive = Path(tempfile.mkdtemp(dir="/tmp"))
    archive.chmod(0o755)
    make_files(archive, "open.nii.gz", "closed/inside.nii.gz")
    (archive / "closed").chmod(0o000)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        source = opened(archive, anonymous=True)
        told = [[case.study for case in cases_of(source)], [one.error for one in unreadable_of(source)]]
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        studies, errors = json.load(stream)
    assert studies == ["open"]
    assert "Permission denied" in errors[0]
    (archive / "closed").chmod(0o755)


def test_a_folder_without_volumes_or_tables_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "notes.txt")
    with pytest.raises(DatasetError, match="no volume"):
        opened(tmp_path)
