"""A pseudonymised archive answers to the hospital's own names where its key is, and nowhere else."""

from pathlib import Path

import psycopg
import pytest
from pydicom.dataset import Dataset

from retrieval.answer_picture import slices_at
from tests.command import Command
from tests.synthetic_ct import as_xyz, chest_hu, dicom_slices, save_slices, write_nifti
from tests.tiny_model import write_tiny_model


@pytest.fixture
def ctsearch(database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(directory)
    return directory


@pytest.fixture(scope="module")
def ann(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """A folder with two series of one study of Ann's, and the header of the first."""
    folder = tmp_path_factory.mktemp("pacs") / "ann"
    first, second = (dicom_slices(chest_hu(noise=noise), patient="ANN^77") for noise in (10.0, 60.0))
    for image in (*first, *second):
        image.StudyInstanceUID = first[0].StudyInstanceUID
        image.AccessionNumber = "ACC4711"
    save_slices(folder, first, "A")
    save_slices(folder, second, "B")
    return folder, first[0]


@pytest.fixture
def hospital(ctsearch: Command, model: Path, ann: tuple[Path, Dataset], tmp_path: Path) -> Path:
    """Files of two folders and Ann's study, indexed with pseudonyms."""
    files = tmp_path / "files"
    for number, name in enumerate(("ward1/scan", "ward2/scan", "ward2/other")):
        path = files / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, as_xyz(chest_hu(noise=20.0 + 10 * number)))
    for source in (files, ann[0]):
        assert ctsearch("index", source, "--encoder", model, "--json").code == 0
    return files


def asked(ctsearch: Command, name: object) -> str:
    ended = ctsearch("search", "--case", name, "--json")
    assert ended.code == 0, ended.err
    return str(ended.json["query"]["study"])


def test_a_file_goes_by_its_path_and_by_its_name_where_that_is_clear(hospital, ctsearch, monkeypatch) -> None:
    other = hospital / "ward2" / "other.nii.gz"
    study = asked(ctsearch, other)
    assert study.startswith("study-")
    assert asked(ctsearch, "other.nii.gz") == asked(ctsearch, "ward2/other.nii.gz") == study
    monkeypatch.chdir(other.parent)
    assert asked(ctsearch, "other.nii.gz") == study
    monkeypatch.chdir("/")
    twice = ctsearch("search", "--case", "scan.nii.gz")
    assert twice.code == 2
    assert "'scan.nii.gz' leads to 2 studies; name one of study-" in twice.err
    assert "no case is called 'nobody'" in ctsearch("search", "--case", "nobody.nii.gz").err


def test_a_dicom_study_goes_by_its_accession_its_patient_and_its_uids(hospital, ctsearch, ann) -> None:
    _, header = ann
    names = ("ACC4711", "ANN^77", header.StudyInstanceUID, header.SeriesInstanceUID)
    assert len({asked(ctsearch, name) for name in names}) == 1
    series = ctsearch("search", "--case", header.SeriesInstanceUID, "--json").json["query"]
    assert series["volume"] == series["latent_of"]
    assert series["source"].endswith(f"#{header.SeriesInstanceUID}")


def test_hits_show_their_files_to_who_has_the_key_and_the_audit_knows(
    hospital, ctsearch, connection: psycopg.Connection, monkeypatch, tmp_path
) -> None:
    def sources() -> set[str]:
        hits = ctsearch("search", "--case", study, "--exclude", "none", "--json").json["hits"]
        return {hit["metadata"]["source"] for hit in hits if "source" in hit["metadata"]}

    study = asked(ctsearch, hospital / "ward1" / "scan.nii.gz")
    connection.execute("DELETE FROM audit_event")
    shown = sources()
    assert {str(path) for path in hospital.rglob("*.nii.gz")} < shown
    audited = connection.execute("SELECT actor, action, detail FROM audit_event").fetchall()
    assert [(actor, action, len(detail["volumes"])) for actor, action, detail in audited] == [
        ("cli", "show sources", 4)
    ]
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "another home"))
    assert sources() == set()
    assert ctsearch("search", "--case", "other.nii.gz").code == 2


def test_a_stranger_with_the_same_bytes_is_the_archived_case(hospital, ctsearch, tmp_path) -> None:
    copy = tmp_path / "from elsewhere.nii.gz"
    copy.write_bytes((hospital / "ward2" / "other.nii.gz").read_bytes())
    answer = ctsearch("search", "--volume", copy, "--json").json
    own = asked(ctsearch, "other.nii.gz")
    assert len(answer["query"]["stored_as"]) == 1
    assert own not in {hit["study"] for hit in answer["hits"]}


def test_a_patient_is_removed_by_the_hospitals_name(hospital, ctsearch) -> None:
    wrong_kind = ctsearch("cases", "remove", "--patient", "ACC4711")
    assert wrong_kind.code == 2
    removed = ctsearch("cases", "remove", "--patient", "ANN^77")
    assert "removed 1 studies, 2 volumes" in removed.out
    assert ctsearch("search", "--case", "ACC4711").code == 2
    assert ctsearch("cases", "remove", "--study", hospital / "ward1" / "scan.nii.gz").code == 0
    assert ctsearch("cases", "list", "--json").json["count"] == 2


def test_a_series_is_drawn_from_the_folder_it_shares_with_another(ann) -> None:
    folder, header = ann
    slices = slices_at(f"{folder}#{header.SeriesInstanceUID}")
    assert (slices.axial < -700).any()
