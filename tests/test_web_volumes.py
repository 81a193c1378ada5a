"""Slices, previews and whole volumes over HTTP: as they are hung, in parts, gone when removed."""

import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import nibabel as nib
import numpy as np
import psycopg
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import Engine, insert

from retrieval.desk_schema import Upload
from tests.command import Command
from tests.synthetic_ct import chest_hu, dicom_slices, save_slices
from tests.tiny_model import write_tiny_model
from tests.viewed_archive import MARK_HU, index_folder, marked_chest, write_marked
from tests.web_app import client_of
from web.jobs.upload_folders import upload_folder
from web.jobs.uploads import remove_upload


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real encoder, tiny and with random weights."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny").directory


@pytest.fixture
def ctsearch(database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where scans are indexed from."""
    return tmp_path / "archive"


@pytest.fixture
def client(ctsearch: Command, model: Path, folder: Path, engine: Engine) -> Iterator[TestClient]:
    """A client of an archive with one marked scan."""
    write_marked(folder / "scan.nii.gz")
    index_folder(ctsearch, model, folder, "--anonymous")
    with client_of(engine) as opened:
        yield opened


def picture_of(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def nifti_of(data: bytes) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def kept_files() -> list[Path]:
    return [path for path in (Path(os.environ["CTSEARCH_HOME"]) / "previews").rglob("*") if path.is_file()]


def test_an_axial_slice_has_the_patients_left_on_the_right_and_is_windowed(client: TestClient) -> None:
    shown = picture_of(client.get("/api/v1/slices/folder/scan?plane=axial&index=20&window=bone"))
    # bone is 1800/400, so -500 to 1300 HU: the mark of 1200 is (1200 + 500) / 1800 × 255
    assert shown.shape == (96, 96)
    assert shown[43, 80] == round((MARK_HU + 500) / 1800 * 255)
    assert shown[43, 95 - 80] < 200
    assert (picture_of(client.get("/api/v1/slices/folder/scan?index=20&window=2,1199")) == 255).sum() == 8 * 8


@pytest.mark.parametrize(
    ("plane", "place"),
    [("coronal", (49, 80)), ("sagittal", (49, 43))],  # 40 slices of 5 mm are 50 rows of 4 mm, superior up
)
def test_other_planes_are_superior_up_with_square_pixels(
    client: TestClient, plane: str, place: tuple[int, int]
) -> None:
    index = {"coronal": 43, "sagittal": 80}[plane]
    shown = picture_of(client.get(f"/api/v1/slices/folder/scan?plane={plane}&index={index}&window=2,1199"))
    assert shown.shape == (50, 96)
    rows, columns = np.nonzero(shown)
    assert abs(rows.mean() - 24.4) < 1  # slices 18 to 22 of 0 to 39 from below
    assert abs(columns.mean() - place[1]) < 4


@pytest.mark.parametrize("towards", [(-1, -1, 1), (1, 1, 1), (1, -1, -1)])
def test_a_file_of_any_orientation_is_hung_alike(
    ctsearch: Command, model: Path, folder: Path, engine: Engine, towards: tuple[int, int, int]
) -> None:
    write_marked(folder / "turned.nii.gz", towards=towards)
    index_folder(ctsearch, model, folder, "--anonymous")
    shown = picture_of(client_of(engine).get("/api/v1/slices/folder/turned?index=20&window=2,1199"))
    assert sorted(set(np.nonzero(shown)[1])) == list(range(76, 84))


def test_the_key_slice_is_shown_where_nothing_is_said(client: TestClient) -> None:
    facts = client.get("/api/v1/geometry/folder/scan").json()
    asked = client.get("/api/v1/slices/folder/scan?size=128")
    assert asked.headers["x-slice"] == str(int(facts["key"]["slices"]))
    assert picture_of(asked).shape == (128, 128)
    assert facts["shape"] == {"slices": 40, "rows": 96, "columns": 96}
    assert facts["spacing_mm"] == {"slices": 5, "rows": 4, "columns": 4}
    assert facts["presets"]["mediastinum"] == {"width_hu": 350, "level_hu": 50}


def test_at_counts_from_inferior_to_superior(client: TestClient) -> None:
    assert client.get("/api/v1/slices/folder/scan?at=0").headers["x-slice"] == "0"
    assert client.get("/api/v1/slices/folder/scan?at=1").headers["x-slice"] == "39"


@pytest.mark.parametrize(
    "question",
    [
        "index=40",
        "window=nan,1",
        "window=1e9,1",
        "window=spleen",
        "at=2",
        "at=0.1&index=3",
        "size=99999",
        "plane=up",
    ],
)
def test_a_slice_that_is_not_there_is_refused_in_a_sentence(client: TestClient, question: str) -> None:
    answer = client.get(f"/api/v1/slices/folder/scan?{question}")
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_the_whole_volume_is_nifti_in_hounsfield_units_where_the_file_had_them(client: TestClient) -> None:
    answer = client.get("/api/v1/files/folder/scan")
    image = nifti_of(answer.content)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (4, 4, 5)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), marked_chest().transpose(1, 2, 0))
    assert image.header.get_data_dtype() == np.int16


def test_millimetres_of_a_volume_are_counted_from_its_key_slice(client: TestClient) -> None:
    key = client.get("/api/v1/geometry/folder/scan").json()["key"]
    image = nifti_of(client.get("/api/v1/files/folder/scan").content)
    place = image.affine @ (key["columns"], key["rows"], key["slices"], 1)
    np.testing.assert_allclose(place[:3], 0, atol=1e-4)


def test_a_preview_is_the_mean_of_blocks_and_lies_where_they_lie(client: TestClient) -> None:
    answer = client.get("/api/v1/previews/folder/scan?edge=32")
    image = nifti_of(answer.content)
    assert image.shape == (32, 32, 20)
    blocks = marked_chest().reshape(20, 2, 32, 3, 32, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(np.asanyarray(image.dataobj), blocks.transpose(1, 2, 0), atol=0.5)
    whole = nifti_of(client.get("/api/v1/files/folder/scan").content)
    np.testing.assert_allclose(image.affine @ (0, 0, 0, 1), whole.affine @ (1, 1, 0.5, 1), atol=1e-4)


def test_a_preview_of_a_small_volume_is_that_volume(client: TestClient) -> None:
    image = nifti_of(client.get("/api/v1/previews/folder/scan").content)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), marked_chest().transpose(1, 2, 0))


RANGES = [
    ("bytes=0-3", 206, slice(0, 4)),
    ("bytes=348-", 206, slice(348, None)),
    ("bytes=-10", 206, slice(-10, None)),
    ("bytes=5-99999999", 206, slice(5, None)),
    ("bytes=3-1", 200, slice(None)),  # no range at all: it is ignored, as RFC 9110 says
    ("bytes=0-1,5-6", 200, slice(None)),  # several ranges may be ignored
    ("lines=0-1", 200, slice(None)),
]


@pytest.mark.parametrize(("asked", "status", "part"), RANGES)
def test_parts_of_a_volume_are_sent(client: TestClient, asked: str, status: int, part: slice) -> None:
    whole = client.get("/api/v1/files/folder/scan")
    assert whole.headers["accept-ranges"] == "bytes"
    answer = client.get("/api/v1/files/folder/scan", headers={"Range": asked})
    assert answer.status_code == status
    assert answer.content == whole.content[part]
    if status == 206:
        start, stop, _ = part.indices(len(whole.content))
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole.content)}"


def test_a_part_beyond_the_end_is_416_with_the_length(client: TestClient) -> None:
    length = len(client.get("/api/v1/files/folder/scan").content)
    answer = client.get("/api/v1/files/folder/scan", headers={"Range": f"bytes={length}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{length}"


def test_a_part_of_what_is_no_longer_so_is_the_whole(client: TestClient) -> None:
    whole = client.get("/api/v1/files/folder/scan")
    same = client.get(
        "/api/v1/files/folder/scan", headers={"Range": "bytes=0-3", "If-Range": whole.headers["etag"]}
    )
    other = client.get("/api/v1/files/folder/scan", headers={"Range": "bytes=0-3", "If-Range": '"older"'})
    assert (same.status_code, other.status_code) == (206, 200)


@pytest.mark.parametrize("what", ["slices", "previews", "files"])
def test_what_a_program_has_is_not_sent_again(client: TestClient, what: str) -> None:
    first = client.get(f"/api/v1/{what}/folder/scan")
    again = client.get(f"/api/v1/{what}/folder/scan", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_volume_that_is_not_there_is_404(client: TestClient) -> None:
    answer = client.get("/api/v1/slices/folder/" + quote("no/such <volume>\x00"))
    assert answer.status_code == 404
    assert "no such volume" in answer.json()["error"]


def test_a_file_that_is_gone_or_another_now_is_out_of_reach_and_one_that_was_touched_is_not(
    client: TestClient, folder: Path
) -> None:
    scan = folder / "scan.nii.gz"
    os.utime(scan, (1, 1))
    assert client.get("/api/v1/slices/folder/scan").status_code == 200
    for kept in kept_files():
        kept.unlink()
    write_marked(scan, up=5)
    other = client.get("/api/v1/slices/folder/scan")
    assert other.status_code == 409
    assert "out of reach: its file has changed since it was indexed" in other.json()["error"]
    scan.unlink()
    assert client.get("/api/v1/slices/folder/scan").status_code == 409


def test_a_removed_patient_leaves_nothing_that_was_kept_to_be_looked_at(
    client: TestClient, ctsearch: Command
) -> None:
    client.get("/api/v1/previews/folder/scan")
    assert len(kept_files()) == 3  # voxels, where they lie, the preview
    assert all("scan" not in str(path.relative_to(os.environ["CTSEARCH_HOME"])) for path in kept_files())
    study = client.get("/api/v1/geometry/folder/scan").json()["study"]
    assert ctsearch("cases", "remove", "--study", study, "--yes").code == 0
    assert kept_files() == []
    assert client.get("/api/v1/slices/folder/scan").status_code == 404


def test_a_phantom_is_drawn_to_be_looked_at(ctsearch: Command, model: Path, engine: Engine) -> None:
    done = ctsearch("index", "1:5", "--format", "phantom", "--encoder", model, "--json")
    assert done.code == 0, done.err
    name = ctsearch("cases", "list", "--json").json["cases"][0]["volume"]
    image = nifti_of(client_of(engine).get(f"/api/v1/files/phantom/{name}").content)
    assert image.header.get_zooms() == (2, 2, 4)
    assert np.asanyarray(image.dataobj).min() < -900


def test_a_sealed_series_is_shown_with_the_key_alone_and_its_header_goes_nowhere(
    ctsearch: Command, model: Path, folder: Path, engine: Engine, connection: psycopg.Connection
) -> None:
    save_slices(folder / "JANE^DOE", dicom_slices(chest_hu(), patient="JANE^DOE"))
    index_folder(ctsearch, model, folder, "--format", "dicom")
    name = connection.execute("SELECT name FROM volume").fetchone()[0]
    client = client_of(engine)
    whole = client.get(f"/api/v1/files/dicom/{name}")
    assert whole.status_code == 200
    assert b"JANE" not in whole.content + repr(whole.headers).encode()
    rows = connection.execute(
        "SELECT actor, subject, detail FROM audit_event WHERE action = 'view volume'"
    ).fetchall()
    assert [(row[0], row[2]["sealed"]) for row in rows] == [("local", True)]
    (Path(os.environ["CTSEARCH_HOME"]) / "pseudonym.key").unlink()
    closed = client.get(f"/api/v1/slices/dicom/{name}")
    assert closed.status_code == 409
    assert "sealed" in closed.json()["error"]
    assert "JANE" not in closed.text


def test_looking_through_a_volume_is_one_entry_of_the_audit(
    client: TestClient, connection: psycopg.Connection
) -> None:
    for index in range(5):
        client.get(f"/api/v1/slices/folder/scan?index={index}")
    count = connection.execute("SELECT count(*) FROM audit_event WHERE action = 'view volume'").fetchone()
    assert count == (1,)


def test_an_upload_is_shown_to_its_owner_and_what_is_kept_goes_with_it(engine: Engine) -> None:
    write_marked(upload_folder("mine") / "files" / "mine.nii.gz")
    volume = {"kind": "nifti", "files": ["mine.nii.gz"]}
    with engine.begin() as connection:
        for upload_id, actor in (("mine", "local"), ("unread", "local")):
            connection.execute(
                insert(Upload).values(
                    id=upload_id,
                    actor=actor,
                    name="scan.nii.gz",
                    size=1,
                    sha256=upload_id.encode(),
                    volume=volume if upload_id == "mine" else None,
                )
            )
    client = client_of(engine)
    assert picture_of(client.get("/api/v1/slices/upload/mine")).shape == (96, 96)
    assert client.get("/api/v1/slices/upload/unread").status_code == 409
    assert client.get("/api/v1/slices/upload/none").status_code == 404
    assert kept_files()
    remove_upload(engine, "mine")
    assert kept_files() == []
    assert client.get("/api/v1/slices/upload/mine").status_code == 404


def test_nobody_looks_without_a_session(client: TestClient, engine: Engine) -> None:
    stranger = client_of(engine, token=None)
    for what in ("slices", "previews", "files", "geometry"):
        assert stranger.get(f"/api/v1/{what}/folder/scan").status_code == 401
