"""DICOM folders: studies under pseudonyms, headers through an allow-list, reports by number."""

from collections import Counter
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from encoders.errors import DatasetError
from retrieval.cases import Case
from retrieval.datasets import Source, Tables, open_source
from retrieval.deidentify import KEY_BYTES, PseudonymKey
from retrieval.deidentify_dicom import clear_header, is_technique
from tests.datasets import cases_of, make_series, make_table, unreadable_of
from tests.shared import shared_file

KEY = PseudonymKey(b"k" * KEY_BYTES)
STUDY, OTHER_STUDY = "1.2.840.1", "1.2.840.2"
SECRETS = {
    "PatientName": "MUELLER^JANE",
    "PatientBirthDate": "19280512",
    "AccessionNumber": "ACC778812",
    "InstitutionName": "Saint Anna",
    "InstitutionAddress": "Baker Street 221",
    "ReferringPhysicianName": "ROE^RICHARD",
    "OperatorsName": "CALVIN^SUSAN",
    "StationName": "ANNA-CT-7",
    "StudyDescription": "CT for Jane",
    "SeriesDescription": "Chest of Jane",
    "ProtocolName": "Jane special",
    "PatientComments": "lives alone",
    "DeviceSerialNumber": "SN99887766",
    "StudyTime": "101112",
}


def opened(folder: Path, *, anonymous: bool = False, **tables: Path) -> Source:
    return open_source(str(folder), format="dicom", tables=Tables(**tables), anonymous=anonymous, key=KEY)


def stored(case: Case) -> str:
    volumes = [(volume.name, volume.acquisition) for volume in case.volumes]
    return repr((case.patient, case.study, case.day, volumes, case.reports, case.labels))


def test_a_study_keeps_how_it_was_made_and_nothing_of_whom(tmp_path: Path) -> None:
    make_series(
        tmp_path,
        StudyInstanceUID=STUDY,
        PatientSex="F",
        PatientAge="092Y",
        Manufacturer="SIEMENS",
        ManufacturerModelName="SOMATOM Force",
        ConvolutionKernel=["Br40d", "3"],
        KVP="120",
        **SECRETS,
    )
    source = opened(tmp_path)
    (case,) = cases_of(source)
    acquisition = case.volumes[0].acquisition
    assert (acquisition.sex, acquisition.age_years) == ("F", 90.0)
    assert (acquisition.manufacturer, acquisition.model) == ("SIEMENS", "SOMATOM Force")
    assert (acquisition.kernel, acquisition.pixel_mm, acquisition.slice_mm) == ("Br40d 3", 0.7, 1.0)
    assert acquisition.other["KVP"] == "120"
    for secret in (*SECRETS.values(), "Jane", "PAT-0815", STUDY, "2021"):
        assert secret.lower() not in stored(case).lower()
    assert case.day == 0
    assert case.identity["patient_id"] == "PAT-0815"
    assert case.identity["accession"] == "ACC778812"
    assert case.identity["study_uid"] == STUDY
    assert case.identity[f"{case.volumes[0].name}.path"] == str(tmp_path)
    assert source.removed["name"] == 3
    assert source.removed["date"] == 2  # of birth and of the study


def test_two_studies_of_a_patient_stay_together_and_two_patients_apart(tmp_path: Path) -> None:
    make_series(tmp_path / "mixed", StudyInstanceUID=STUDY, StudyDate="20210301")
    make_series(tmp_path / "mixed", StudyInstanceUID=OTHER_STUDY, StudyDate="20210401")
    make_series(tmp_path / "mixed", PatientID="OTHER-1", StudyDate="20200101")
    cases = cases_of(opened(tmp_path))
    assert len({case.study for case in cases}) == 3
    patients = Counter(case.patient for case in cases)
    assert sorted(patients.values()) == [1, 2]
    days = {case.day for case in cases if patients[case.patient] == 2}
    assert days == {0, 31}


def test_a_series_that_two_studies_claim_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    make_series(tmp_path / "one", StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.3")
    make_series(tmp_path / "two", StudyInstanceUID=OTHER_STUDY, SeriesInstanceUID="1.2.3")
    make_series(tmp_path / "good")
    source = opened(tmp_path)
    assert len(cases_of(source)) == 1
    assert all("another study has too" in entry.error for entry in unreadable_of(source))
    assert len(unreadable_of(source)) == 2


def test_names_do_not_depend_on_where_the_files_lie(tmp_path: Path) -> None:
    for place in ("here", "there/deep"):
        make_series(tmp_path / place, StudyInstanceUID=STUDY, SeriesInstanceUID="1.2.3")
    (here,), (there,) = (cases_of(opened(tmp_path / place)) for place in ("here", "there"))
    assert (here.patient, here.study) == (there.patient, there.study)
    assert here.volumes[0].name == there.volumes[0].name


def test_series_that_are_no_volume_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_series(tmp_path / "good", StudyInstanceUID=STUDY)
    make_series(tmp_path / "twice", StudyInstanceUID=OTHER_STUDY, SeriesInstanceUID="1.9")
    make_series(
        tmp_path / "twice2", StudyInstanceUID=OTHER_STUDY, SeriesInstanceUID="1.9", PatientID="OTHER-1"
    )
    make_series(tmp_path / "shared", StudyInstanceUID="1.7")
    make_series(tmp_path / "shared", StudyInstanceUID="1.7", PatientID="OTHER-2")
    (tmp_path / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00")
    source = opened(tmp_path)
    errors = [one.error for one in unreadable_of(source)]
    assert any("mixes slices of 2 patients" in error for error in errors)
    assert any("one study of 2 patients" in error for error in errors)
    assert any("cut.dcm" in error for error in errors)
    assert len(cases_of(source)) == 1


def test_reports_find_their_study_by_uid_accession_or_patient(tmp_path: Path) -> None:
    make_series(tmp_path / "a", StudyInstanceUID=STUDY, PatientID="P-1000", AccessionNumber="A-1000")
    make_series(tmp_path / "b", StudyInstanceUID=OTHER_STUDY, PatientID="P-2000", AccessionNumber="A-2000")
    make_series(tmp_path / "c", StudyInstanceUID="1.2.840.3", PatientID="P-3000")
    make_series(tmp_path / "d", StudyInstanceUID="1.2.840.4", PatientID="P-3000")
    reports = make_table(
        tmp_path / "t.csv",
        "StudyInstanceUID,AccessionNumber,PatientID,report",
        f"{STUDY},,,By UID.",
        ",A-2000,,By accession of P-2000.",
        ",,P-3000,Of which study?",
        ",A-9999,,Of nobody.",
    )
    labels = make_table(tmp_path / "l.csv", "PatientID,Emphysema", "P-2000,1")
    source = opened(tmp_path, reports=reports, labels=labels)
    found = {report.findings: dict(case.labels) for case in cases_of(source) for report in case.reports}
    assert found == {"By UID.": {}, "By accession of [id].": {"Emphysema": True}}
    assert [one.item for one in unreadable_of(source)] == ["t.csv: line 4"]
    assert any("1 rows of t.csv name no study" in warning for warning in source.warnings)
    told = " ".join([*source.warnings, *(one.error for one in unreadable_of(source))])
    assert "P-3000" not in told
    assert "A-9999" not in told


def test_an_anonymous_archive_keeps_its_names(tmp_path: Path) -> None:
    make_series(tmp_path, StudyInstanceUID=STUDY, SeriesInstanceUID="1.5", PatientAge="092Y")
    source = opened(tmp_path, anonymous=True)
    (case,) = cases_of(source)
    assert (case.patient, case.study, case.volumes[0].name) == ("PAT-0815", STUDY, "1.5")
    assert case.volumes[0].acquisition.age_years == 92.0
    assert case.identity == {}
    assert source.removed == {}


def test_a_folder_without_series_is_refused_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match="no CT series"):
        list(opened(tmp_path))


@pytest.mark.parametrize(
    ("description", "kernel", "kept"),
    [
        ("Thorax 1,50 Br40 S3", "", True),
        ("Chest Lung 5mm", "", True),
        ("HRCT", "", True),
        ("Chest YA", "YA", True),
        ("Chest YA", "", False),  # could be somebody's initials
        ("Chest Jane", "", False),
        ("Chest 19280512", "", False),
        ("", "", False),
    ],
)
def test_a_series_description_is_kept_if_it_is_all_technique(
    description: str, kernel: str, kept: bool
) -> None:
    assert is_technique(description, kernel) is kept


def test_age_comes_from_the_birth_date_where_it_is_not_given() -> None:
    header = Dataset()
    header.PatientBirthDate, header.StudyDate = "19500402", "20210401"
    assert clear_header(header).acquisition.age_years == 70.0  # the day before the 71st birthday


def test_device_fields_that_name_the_patient_are_dropped() -> None:
    header = Dataset()
    header.PatientName = "MUELLER^JANE"
    header.Manufacturer = "Jane Mueller"
    header.BodyPartExamined = "MUELLER"
    cleared = clear_header(header)
    assert cleared.acquisition.manufacturer is None
    assert cleared.acquisition.other == {}


def test_the_real_series_is_one_case(tmp_path: Path) -> None:
    source = open_source(str(shared_file("dicom/lung_pet_ct_dx_A0001").parent), key=KEY)
    (case,) = cases_of(source)
    assert source.dataset == "dicom"
    assert len(case.volumes) == 1
    assert case.volumes[0].file is not None
    assert len(case.volumes[0].file.paths) == 64
    assert (case.volumes[0].acquisition.sex, case.volumes[0].acquisition.age_years) == ("M", 58.0)
    assert "A0001" not in stored(case)
