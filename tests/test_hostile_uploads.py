"""Uploads that mean harm, or come to harm: refused in one sentence, nothing left behind, nothing outside."""

import resource
import socket
import stat
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from retrieval.database_address import home
from tests.command import until
from tests.synthetic_ct import chest_hu, dicom_slices
from tests.web_app import client_of, served
from tests.web_jobs import (
    bring,
    dicom_bytes,
    do_jobs,
    nifti_bytes,
    phantom_collection,
    tree,
    zip_bytes,
)

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """A client of an application with a collection to encode for."""
    phantom_collection(engine)
    return client_of(engine)


@pytest.fixture
def around(database: str, tmp_path: Path) -> Iterator[Callable[[], set[str]]]:
    """What lies in and around the home, uploads apart; at the end it must be what it was."""

    def now() -> set[str]:
        return {path for path in tree(tmp_path) if not path.startswith("home/uploads/")}

    home().mkdir(exist_ok=True)
    (home() / "uploads").mkdir(mode=0o700, exist_ok=True)
    before = now()
    yield now
    assert now() == before


def uploads() -> set[str]:
    """Everything that lies in the folder of uploads."""
    return tree(home() / "uploads")


def entry(name: str, mode: int = stat.S_IFREG | 0o644, **fields: int) -> zipfile.ZipInfo:
    """A zip's entry of any name and kind."""
    info = zipfile.ZipInfo("placeholder")
    info.filename, info.external_attr = name, mode << 16
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def encrypted_zip() -> bytes:
    """A zip whose entry says that it is encrypted, in both of its headers."""
    content = bytearray(zip_bytes({"IM0001": b"x" * 100}))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def twice_zip() -> bytes:
    """A zip with one name twice, in upper and in lower case."""
    return zip_bytes({"IM0001": b"a", "im0001": b"b"})


ZIPS = {
    "up and out": lambda: zip_bytes({entry("../../evil.dcm"): b"x"}),
    "out by the middle": lambda: zip_bytes({entry("a/../../evil.dcm"): b"x"}),
    "absolute": lambda: zip_bytes({entry("/tmp/evil.dcm"): b"x"}),
    "a drive": lambda: zip_bytes({entry("C:evil.dcm"): b"x"}),
    "backslashes": lambda: zip_bytes({entry("a\\..\\..\\evil.dcm"): b"x"}),
    "a symbolic link": lambda: zip_bytes({entry("link", stat.S_IFLNK | 0o777): b"/etc/passwd"}),
    "a device": lambda: zip_bytes({entry("null", stat.S_IFCHR | 0o666): b""}),
    "a zip in it": lambda: zip_bytes({"inner.zip": zip_bytes({"IM0001": b"x"})}),
    "encrypted": encrypted_zip,
    "a name twice": twice_zip,
    "cut short": lambda: zip_bytes({"IM0001": b"x" * 1000})[:-30],
}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_zip_that_is_not_plain_files_is_refused_and_nothing_of_it_stays(
    kind: str, client: TestClient, around: Callable[[], set[str]]
) -> None:
    answer = bring(client, {"study.zip": ZIPS[kind]()})
    assert answer.status_code == 422, answer.text
    assert set(answer.json()) == {"error"}
    assert uploads() == set()


def test_a_zip_under_another_name_inside_a_zip_is_refused_by_the_worker(
    client: TestClient, around: Callable[[], set[str]]
) -> None:
    brought = bring(client, {"study.zip": zip_bytes({"IM0001": zip_bytes({"IM0001": b"x"})})}).json()
    do_jobs()
    job = client.get(f"/api/v1/jobs/{brought['job']}").json()
    assert (job["state"], "another archive" in job["error"]) == ("failed", True)


def test_a_zip_bomb_is_refused_by_what_it_says_of_itself(engine: Engine, client: TestClient) -> None:
    answer = bring(client, {"bomb.zip": zip_bytes({"IM0001": bytes(100 << 20)})})
    assert answer.status_code == 413
    assert "200 times" in answer.json()["error"]
    small = client_of(engine, largest_unpacked_bytes=1 << 20)
    answer = bring(small, {"big.zip": zip_bytes({"IM0001": np.random.default_rng(0).bytes(2 << 20)})})
    assert answer.status_code == 413
    assert uploads() == set()


def test_a_zip_that_lies_about_its_size_is_stopped_while_it_is_unpacked(
    client: TestClient, around: Callable[[], set[str]]
) -> None:
    content = bytearray(zip_bytes({"IM0001": b"\x08\x00\x05\x00" + bytes(8 << 20)}))
    said = struct.pack("<L", 1000)
    content[22:26] = said
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = said
    brought = bring(client, {"liar.zip": bytes(content)}).json()
    do_jobs()
    job = client.get(f"/api/v1/jobs/{brought['job']}").json()
    assert (job["state"], "damaged" in job["error"]) == ("failed", True)
    assert sum(path.stat().st_size for path in (home() / "uploads").rglob("*") if path.is_file()) < 1 << 20


def test_a_zip_with_more_files_than_any_ct_is_refused(engine: Engine) -> None:
    client = client_of(engine, largest_upload_files=5)
    answer = bring(client, {"study.zip": zip_bytes({f"IM{number}": b"x" for number in range(6)})})
    assert answer.status_code == 413
    assert bring(client, {f"IM{number}": b"x" for number in range(6)}).status_code == 413
    assert uploads() == set()


def test_a_header_that_claims_five_gigabytes_fails_in_one_sentence_and_takes_no_memory(
    client: TestClient,
) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((2000, 2000, 700))
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    brought = bring(client, {"huge.nii": header.binaryblock + bytes(1000)}).json()
    do_jobs()
    job = client.get(f"/api/v1/jobs/{brought['job']}").json()
    assert job["state"] == "failed"
    assert "2000×2000×700 voxels, more than 4 GiB" in job["error"]
    assert job["error"].startswith("file 1 of the upload")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.pdf", b"%PDF-1.7 and so on" * 100),
        ("chest.nii.gz", b"not compressed, no NIfTI" * 100),
        ("chest.nrrd", b"GIF89a" + bytes(1000)),
        ("letter.zip", b"PK\x03\x04 and nothing that follows"),
        ("empty.nii", b""),
    ],
)
def test_what_is_no_ct_is_refused_by_its_bytes_whatever_it_is_called(
    name: str, content: bytes, client: TestClient, around: Callable[[], set[str]]
) -> None:
    answer = bring(client, {name: content})
    assert answer.status_code == 422, answer.text
    assert uploads() == set()


def test_a_volume_that_is_no_ct_fails_with_its_reason(client: TestClient) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (24, 24, 24)).astype(np.uint8)
    image = nib.Nifti1Image(labels, np.diag((8.0, 8.0, 8.0, 1.0)))
    brought = bring(client, {"labels.nii": image.to_bytes()}).json()
    do_jobs()
    job = client.get(f"/api/v1/jobs/{brought['job']}").json()
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert job["error"].startswith("file 1 of the upload")


def test_a_detached_header_leads_to_no_file_of_the_server(
    client: TestClient, tmp_path: Path, around: Callable[[], set[str]]
) -> None:
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 24 24 24\nencoding: raw\nendian: little\n"
    brought = bring(client, {"chest.nrrd": f"{header}data file: /etc/passwd\n\n".encode()}).json()
    do_jobs()
    job = client.get(f"/api/v1/jobs/{brought['job']}").json()
    assert (job["state"], "another folder" in job["error"]) == ("failed", True)


def test_names_that_lead_elsewhere_are_text_and_nothing_more(
    client: TestClient, around: Callable[[], set[str]]
) -> None:
    name = f"../../{SCRIPT}/\u202egpj.exe"
    brought = bring(client, {name: nifti_bytes()}).json()
    assert client.get(f"/api/v1/uploads/{brought['upload']}").json()["name"] == name
    assert uploads() == {
        brought["upload"],
        f"{brought['upload']}/sent",
        f"{brought['upload']}/sent/00001",
    }
    assert stat.S_IMODE((home() / "uploads" / brought["upload"]).stat().st_mode) == 0o700
    shown = client.get("/jobs").text
    assert SCRIPT not in shown
    assert "&lt;script&gt;" in shown


def test_a_script_in_dicom_tags_is_shown_as_text(engine: Engine, client: TestClient) -> None:
    slices = dicom_slices(chest_hu((24, 48, 48)), patient=SCRIPT, pixel_mm=8.0)
    for image in slices:
        image.PatientName = image.SeriesDescription = image.Manufacturer = SCRIPT
        image.ConvolutionKernel = SCRIPT
    del slices[10:13]  # a gap: the series fails, and why is shown
    brought = bring(client, dicom_bytes(slices)).json()
    indexing = client.post("/api/v1/jobs", json={"upload": brought["upload"]}).json()
    do_jobs()
    for number in (brought["job"], indexing["id"]):
        shown = client.get(f"/jobs/{number}")
        assert "misses slices" in shown.text
        assert SCRIPT not in shown.text
    assert SCRIPT not in client.get("/jobs").text


def test_half_an_upload_leaves_nothing_behind(
    engine: Engine, client: TestClient, around: Callable[[], set[str]]
) -> None:
    with served(engine) as address:
        where = urlsplit(address)
        head = (
            "POST /api/v1/uploads HTTP/1.1\r\n"
            f"Host: {where.netloc}\r\nAuthorization: Bearer served\r\nContent-Length: 4000000\r\n"
            "Content-Type: multipart/form-data; boundary=cut\r\n\r\n"
            '--cut\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n'
        )
        with socket.create_connection((where.hostname, where.port)) as connection:
            connection.sendall(head.encode() + bytes(2_000_000))
            until(lambda: any(name.endswith("/00001") for name in uploads()))
        until(lambda: uploads() == set())
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM upload")).scalar() == 0


def test_a_body_that_ends_before_its_last_boundary_is_refused(client: TestClient) -> None:
    part = b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n' + nifti_bytes()
    answer = client.post(
        "/api/v1/uploads", content=part, headers={"Content-Type": "multipart/form-data; boundary=cut"}
    )
    assert (answer.status_code, "in the middle" in answer.json()["error"]) == (422, True)
    assert uploads() == set()


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 300]
)
def test_a_body_that_is_no_form_is_refused(content_type: str, client: TestClient) -> None:
    answer = client.post("/api/v1/uploads", content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert uploads() == set()


def test_an_upload_without_a_length_is_stopped_at_the_limit(engine: Engine) -> None:
    client = client_of(engine, largest_upload_bytes=1 << 20)

    def body() -> Iterator[bytes]:
        yield b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n'
        for _ in range(100):
            yield bytes(1 << 20)

    answer = client.post(
        "/api/v1/uploads", content=body(), headers={"Content-Type": "multipart/form-data; boundary=cut"}
    )
    assert answer.status_code == 413
    assert uploads() == set()


def test_a_full_disk_is_one_sentence_and_nothing_half_stays(client: TestClient) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    try:
        answer = bring(client, {"chest.nii": np.random.default_rng(0).bytes(1 << 20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (answer.status_code, "cannot be stored" in answer.json()["error"]) == (503, True)
    assert uploads() == set()


def test_an_upload_that_the_disk_has_no_room_for_is_refused_before_it_is_read(engine: Engine) -> None:
    generous = client_of(engine, largest_upload_bytes=1 << 60)
    answer = generous.post(
        "/api/v1/uploads",
        content=iter([b"--cut"]),
        headers={"Content-Type": "multipart/form-data; boundary=cut", "Content-Length": str(1 << 55)},
    )
    assert (answer.status_code, "MB left" in answer.json()["error"]) == (503, True)


def test_a_large_upload_is_never_whole_in_memory(
    engine: Engine, database: str, tmp_path: Path, around: Callable[[], set[str]]
) -> None:
    phantom_collection(engine)
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline())
        before = peak_bytes(process.pid)
        code = send_large(port, megabytes=300)
        grown = peak_bytes(process.pid) - before
    finally:
        process.kill()
        process.communicate()
    assert code == b"422"  # three hundred megabytes of nothing are no CT
    assert grown < 60 << 20
    assert uploads() == set()


def send_large(port: int, *, megabytes: int) -> bytes:
    """Send zeros as a file; return the status."""
    part = b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n'
    end = b"\r\n--cut--\r\n"
    length = len(part) + (megabytes << 20) + len(end)
    head = (
        f"POST /api/v1/uploads HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer served\r\n"
        f"Content-Length: {length}\r\nContent-Type: multipart/form-data; boundary=cut\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + part)
        for _ in range(megabytes):
            connection.sendall(bytes(1 << 20))
        connection.sendall(end)
        return connection.recv(100).split()[1]


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def test_two_browsers_may_bring_the_same_bytes_at_once_and_one_upload_stays(
    engine: Engine, client: TestClient
) -> None:
    content, answers = nifti_bytes(), []
    threads = [
        threading.Thread(target=lambda: answers.append(bring(client_of(engine), content))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["upload"] for answer in answers}) == 1
    assert len({answer.json()["job"] for answer in answers}) == 1
    assert len({name.split("/")[0] for name in uploads()}) == 1


_SERVER = """
import socket, uvicorn
from retrieval.migrate import open_archive
from web.app import create_app
from web.settings import WebSettings
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
app = create_app(WebSettings(start_token="served"), open_archive())
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
"""
