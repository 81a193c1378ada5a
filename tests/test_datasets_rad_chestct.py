"""RAD-ChestCT: .npz volumes, 15 findings in one table or the release's own findings by place."""

from pathlib import Path

import pytest

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from retrieval.datasets import open_source
from tests.datasets import cases_of, make_files, make_table, unreadable_of
from tests.shared import shared_file

LACKING = {"Lymphadenopathy", "Medical material", "Mosaic attenuation pattern"}


def test_volumes_and_labels_join_and_missing_findings_are_unknown(tmp_path: Path) -> None:
    make_files(tmp_path, "tst34780.npz", "deep/trn00001.npz", "trn00002.npz.tmp")
    make_table(
        tmp_path / "labels.csv", "NoteAcc_DEID,Emphysema,Atelectasis", "tst34780,1.0,0.0", "val00007,0.0,"
    )
    source = open_source(str(tmp_path))
    assert (source.dataset, source.anonymous, source.count) == ("rad-chestct", True, 3)
    cases = {case.study: case for case in cases_of(source)}
    assert {name: case.split for name, case in cases.items()} == {
        "trn00001": "trn",
        "tst34780": "tst",
        "val00007": "val",
    }
    assert cases["tst34780"].labels == {"Emphysema": True, "Atelectasis": False}
    assert cases["val00007"].labels == {"Emphysema": False}
    assert cases["val00007"].volumes[0].file is None
    assert cases["trn00001"].labels == {}
    file = cases["trn00001"].volumes[0].file
    assert file is not None
    assert (file.kind, file.paths) == ("rad_chestct", (tmp_path / "deep" / "trn00001.npz",))


def test_the_release_lists_findings_by_place_and_any_place_counts(tmp_path: Path) -> None:
    make_files(tmp_path, "trn00001.npz", "trn00002.npz")
    make_table(
        tmp_path / "imgtrain_Abnormality_and_Location_Labels.csv",
        "NoteAcc_DEID,nodule*right_lower,nodule*left_lung,nodulegr1cm*lung,calcification*aorta,fibrosis*lung,cabg*heart",
        "trn00001,0,1,0,1,0,1",
        "trn00002,0,0,0,0,1,0",
    )
    make_table(
        tmp_path / "CT_Scan_Metadata_Complete_35747.csv",
        "VolumeAcc_DEID,NoteAcc_DEID,MRN_DEID,Set_Assigned,PatientAge",
        "trn00001.npz,trn00001,M1,train,061Y",
        "trn00002.npz,trn00002,M1,train,062Y",
        "trn99999.npz,trn99999,M9,train,050Y",
    )
    source = open_source(str(tmp_path))
    first, second = cases_of(source)
    assert first.labels == {
        "Lung nodule": True,
        "Arterial wall calcification": True,
        "Coronary artery wall calcification": True,
        "Pulmonary fibrotic sequela": False,
    }
    assert second.labels == {
        "Lung nodule": False,
        "Arterial wall calcification": False,
        "Coronary artery wall calcification": False,
        "Pulmonary fibrotic sequela": True,
    }
    assert (first.patient, second.patient) == ("M1", "M1")
    assert second.volumes[0].acquisition.age_years == 62.0
    assert source.count == 2  # the scan that was never released is none


def test_files_of_other_names_are_refused_one_by_one(tmp_path: Path) -> None:
    make_files(tmp_path, "trn00001.npz", "weights.npz")
    source = open_source(str(tmp_path))
    assert [one.item for one in unreadable_of(source)] == ["weights.npz"]
    assert [case.study for case in cases_of(source)] == ["trn00001"]


def test_a_folder_without_any_of_it_is_refused(tmp_path: Path) -> None:
    make_table(tmp_path / "labels.csv", "name,Emphysema", "scan1,1")
    with pytest.raises(DatasetError, match="no volume and no label table of RAD-ChestCT"):
        open_source(str(tmp_path), format="rad-chestct")


def test_the_real_labels_are_read_whole() -> None:
    source = open_source(str(shared_file("rad_chestct/labels.csv").parent))
    cases = cases_of(source)
    assert source.dataset == "rad-chestct"
    assert len(cases) == source.count == 3630
    assert {len(case.labels) for case in cases} == {15}
    assert set(ABNORMALITIES) - set(cases[0].labels) == LACKING
    splits = [case.split for case in cases]
    assert (splits.count("trn"), splits.count("val"), splits.count("tst")) == (2286, 984, 360)  # grep -c
    assert sum(case.labels["Emphysema"] for case in cases) == 992  # awk over the second column
