"""CT-RATE's layout: volumes in folders or flat, tables given or found, names that join them."""

from collections import Counter
from pathlib import Path

import pytest

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from retrieval.cases import Case
from retrieval.datasets import Source, Tables, open_source
from retrieval.datasets.ct_rate import ct_rate_name
from tests.datasets import cases_of, make_files, make_table, unreadable_of
from tests.shared import shared_file


def by_study(source: Source) -> dict[str, Case]:
    return {case.study: case for case in cases_of(source)}


def volume_names(case: Case) -> list[str]:
    return [volume.name for volume in case.volumes]


def test_a_name_tells_split_patient_scan_and_reconstruction() -> None:
    name = ct_rate_name("dataset/valid_fixed/valid_53/valid_53_a/valid_53_a_2.nii.gz")
    assert name is not None
    assert (name.split, name.patient, name.study, name.reconstruction) == (
        "valid",
        "valid_53",
        "valid_53_a",
        2,
    )
    assert ct_rate_name("valid_53_a").reconstruction == 0
    assert ct_rate_name("train_1") is None
    assert ct_rate_name("scan.nii.gz") is None


@pytest.mark.parametrize(
    "layout", ["valid/valid_1/valid_1_a/{}", "dataset/valid_fixed/valid_1/valid_1_a/{}", "{}"]
)
def test_volumes_are_found_in_the_published_folders_and_flat(tmp_path: Path, layout: str) -> None:
    make_files(tmp_path, *(layout.format(f"valid_1_a_{one}.nii.gz") for one in (1, 2)))
    make_files(tmp_path, layout.format("valid_1_a_1.nii.gz.part"), layout.format("._valid_1_a_1.nii.gz"))
    source = open_source(str(tmp_path))
    assert (source.dataset, source.anonymous, source.count) == ("ct-rate", True, 1)
    assert "CT-RATE" in source.warnings[0]
    (case,) = cases_of(source)
    assert (case.patient, case.study, case.split, case.day) == ("valid_1", "valid_1_a", "valid", None)
    assert volume_names(case) == ["valid_1_a_1", "valid_1_a_2"]
    assert [volume.file.kind for volume in case.volumes if volume.file] == ["nifti", "nifti"]
    assert unreadable_of(source) == []


def test_tables_and_files_join_by_name_and_neither_is_lost(tmp_path: Path) -> None:
    make_files(tmp_path, "valid_1_a_1.nii.gz", "valid_10_a_1.nii.gz")
    make_table(
        tmp_path / "metadata.csv",
        "VolumeName,PatientSex,PatientAge,XYSpacing,ZSpacing,RescaleSlope,RescaleIntercept,StudyDate",
        'valid_1_a_1.nii.gz,M,036Y,"[0.5, 0.5]",1.5,1,-1024,20210427',
        'valid_1_b_1,M,037Y,"[0.5, 0.5]",1.5,1,-8192,20220427',
    )
    make_table(
        tmp_path / "labels.csv", "VolumeName,Emphysema,Lung nodule", "valid_1_a_1,1,0", "valid_2_a_1,0,"
    )
    make_table(
        tmp_path / "reports.csv", "VolumeName,Findings_EN,Impressions_EN", "valid_1_a,Emphysema.,Not given."
    )
    source = open_source(str(tmp_path))
    assert source.count == 4
    cases = by_study(source)
    assert list(cases) == ["valid_1_a", "valid_1_b", "valid_2_a", "valid_10_a"]  # 2 before 10

    first = cases["valid_1_a"]
    assert first.volumes[0].file is not None
    assert first.volumes[0].file.table_rescale == (1.0, -1024.0)
    assert first.volumes[0].file.table_spacing_mm == (0.5, 0.5, 1.5)
    assert first.volumes[0].acquisition.age_years == 36.0
    assert first.labels == {"Emphysema": True, "Lung nodule": False}
    assert [(one.name, one.findings, one.impression) for one in first.reports] == [
        ("valid_1_a", "Emphysema.", "")
    ]
    assert (first.day, cases["valid_1_b"].day) == (0, 365)

    assert cases["valid_1_b"].volumes[0].file is None  # a row whose file has not arrived
    assert cases["valid_2_a"].labels == {"Emphysema": False}  # the empty cell is unknown
    assert cases["valid_10_a"].labels == {}  # a file without rows
    assert cases["valid_10_a"].day is None


def test_tables_of_the_release_are_found_beside_the_volumes(tmp_path: Path) -> None:
    make_files(tmp_path, "valid_fixed/valid_1/valid_1_a/valid_1_a_1.nii.gz")
    for split in ("train", "valid"):
        make_table(
            tmp_path / "radiology_text_reports" / f"{split}_reports.csv",
            "VolumeName,Findings_EN,Impressions_EN",
            f"{split}_1_a_1.nii.gz,Report of {split}.,Clear.",
            f"{split}_1_a_2.nii.gz,Report of {split}.,Clear.",
        )
        make_table(
            tmp_path / "multi_abnormality_labels" / f"{split}_predicted_labels.csv",
            "VolumeName,Emphysema",
            f"{split}_1_a_1.nii.gz,{int(split == 'valid')}",
        )
    source = open_source(str(tmp_path / "valid_fixed"))
    cases = by_study(source)
    assert list(cases) == ["valid_1_a"]
    assert [report.name for report in cases["valid_1_a"].reports] == ["valid_1_a"]  # one, though listed twice
    assert cases["valid_1_a"].labels == {"Emphysema": True}
    assert sum("train" in warning and "left out" in warning for warning in source.warnings) == 2


def test_a_folder_that_holds_both_splits_takes_the_tables_of_both(tmp_path: Path) -> None:
    make_files(tmp_path, "train/train_1_a_1.nii.gz", "valid/valid_1_a_1.nii.gz")
    make_table(tmp_path / "a.csv", "VolumeName,Emphysema", "train_1_a_1,1")
    make_table(tmp_path / "b.csv", "VolumeName,Emphysema", "valid_1_a_1,0")
    cases = by_study(open_source(str(tmp_path)))
    assert {study: dict(case.labels) for study, case in cases.items()} == {
        "train_1_a": {"Emphysema": True},
        "valid_1_a": {"Emphysema": False},
    }


def test_two_found_tables_for_one_thing_are_not_guessed_between(tmp_path: Path) -> None:
    make_files(tmp_path, "valid_1_a_1.nii.gz")
    first = make_table(tmp_path / "a.csv", "VolumeName,Emphysema", "valid_1_a_1,1")
    make_table(tmp_path / "b.csv", "VolumeName,Emphysema", "valid_1_a_1,0")
    with pytest.raises(DatasetError, match=r"a\.csv and .*b\.csv could both be the label table .*--labels"):
        open_source(str(tmp_path))
    chosen = by_study(open_source(str(tmp_path), tables=Tables(labels=first)))
    assert chosen["valid_1_a"].labels == {"Emphysema": True}


def test_what_is_wrong_with_a_row_or_file_stops_nothing_else(tmp_path: Path) -> None:
    make_files(
        tmp_path, "a/valid_1_a_1.nii.gz", "b/valid_1_a_1.nii.gz", "valid_2_a_1.nii.gz", "valid_3_a_1.nii.gz"
    )
    make_table(
        tmp_path / "metadata.csv",
        "VolumeName,ZSpacing",
        "valid_2_a_1,thick",
        "valid_3_a_1,1.5",
        "brain_7,1.5",
    )
    make_table(
        tmp_path / "reports.csv",
        "VolumeName,Findings_EN",
        "valid_3_a,One text.",
        "valid_2_a,One text.",
        "valid_3_a,Another text.",
    )
    source = open_source(str(tmp_path))
    errors = {one.item: one.error for one in unreadable_of(source)}
    assert set(errors) == {
        "valid_1_a_1",  # lies in two places: which one is meant?
        "metadata.csv: line 4",
        "reports.csv: lines 2 and 4",
        "valid_2_a_1",
    }
    assert "a/valid_1_a_1.nii.gz and b/valid_1_a_1.nii.gz" in errors["valid_1_a_1"]
    assert '"thick" as slice spacing' in errors["valid_2_a_1"]
    cases = by_study(source)
    assert {study: volume_names(case) for study, case in cases.items()} == {
        "valid_2_a": [],
        "valid_3_a": ["valid_3_a_1"],
    }
    assert [len(case.reports) for case in cases.values()] == [1, 0]


def test_equal_reports_of_two_patients_are_two_cases(tmp_path: Path) -> None:
    make_table(
        tmp_path / "reports.csv",
        "VolumeName,Findings_EN",
        "valid_1_a,The same text.",
        "valid_2_a,The same text.",
    )
    cases = by_study(open_source(str(tmp_path)))
    assert [case.patient for case in cases.values()] == ["valid_1", "valid_2"]
    assert [case.reports[0].findings for case in cases.values()] == ["The same text."] * 2


def test_reconstructions_that_are_labelled_differently_leave_it_unknown(tmp_path: Path) -> None:
    make_table(
        tmp_path / "labels.csv", "VolumeName,Emphysema,Atelectasis", "valid_1_a_1,1,1", "valid_1_a_2,0,1"
    )
    source = open_source(str(tmp_path))
    assert cases_of(source)[0].labels == {"Atelectasis": True}
    assert any("labelled differently" in warning for warning in source.warnings)


def test_a_table_of_another_data_set_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "valid_1_a_1.nii.gz")
    labels = make_table(tmp_path / "other" / "labels.csv", "NoteAcc_DEID,Emphysema", "trn00001,1")
    with pytest.raises(DatasetError, match=r'none of this data set.*"trn00001" on line 2'):
        open_source(str(tmp_path), tables=Tables(labels=labels))
    nameless = make_table(tmp_path / "other" / "nameless.csv", "Emphysema,Atelectasis", "0,1")
    with pytest.raises(DatasetError, match="no column for the name of the volume"):
        open_source(str(tmp_path), tables=Tables(labels=nameless))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no volume and no table of CT-RATE"):
        open_source(str(tmp_path), format="ct-rate")


def real_tables() -> Tables:
    return Tables(
        reports=shared_file("ct_rate/validation_reports.csv"),
        labels=shared_file("ct_rate/validation_labels.csv"),
        metadata=shared_file("ct_rate/validation_metadata.csv"),
    )


@pytest.mark.parametrize("given", [True, False])
def test_the_real_validation_tables_are_read_whole(tmp_path: Path, given: bool) -> None:
    folder = tmp_path if given else shared_file("ct_rate/validation_reports.csv").parent
    source = open_source(str(folder), tables=real_tables() if given else None)
    cases = cases_of(source)
    assert source.dataset == "ct-rate"
    assert source.count == len(cases) == 1564
    assert {case.split for case in cases} == {"valid"}
    assert sum(len(case.volumes) for case in cases) == 3039
    assert sum(len(case.reports) for case in cases) == 1564
    assert len({case.patient for case in cases}) == 1304
    # counted in the tables with awk
    sexes = Counter(volume.acquisition.sex for case in cases for volume in case.volumes)
    assert sexes == {"M": 1776, "F": 1263}
    makers = Counter(volume.acquisition.manufacturer for case in cases for volume in case.volumes)
    assert makers == {"Philips": 1928, "Siemens Healthineers": 850, "PNMS": 140, "SIEMENS": 121}
    assert all(set(case.labels) == set(ABNORMALITIES) for case in cases)
    assert all(volume.file is None for case in cases for volume in case.volumes)
    assert all("StudyDate" not in volume.acquisition.other for case in cases for volume in case.volumes)
    days = {case.study: case.day for case in cases}
    assert (days["valid_4_a"], days["valid_4_b"]) == (0, 8)
    assert sum(report.impression == "" for case in cases for report in case.reports) == 44


def test_training_labels_never_come_to_validation_reports() -> None:
    folder = shared_file("ct_rate/train_labels.csv").parent
    found = open_source(str(folder))
    assert any("train_labels.csv was left out" in warning for warning in found.warnings)
    train = open_source(str(folder), tables=Tables(labels=folder / "train_labels.csv"))
    assert any("validation_reports.csv was left out" in warning for warning in train.warnings)
    cases = cases_of(train)
    assert {case.split for case in cases} == {"train"}
    assert sum(len(case.volumes) for case in cases) == 47149
