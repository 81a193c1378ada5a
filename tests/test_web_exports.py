"""Result lists as CSV and PDF, read back by other programs."""

import csv
import hashlib
import io

import pytest
from pypdf import PdfReader
from sqlalchemy import Engine, insert, select

from retrieval.cases import Acquisition
from retrieval.schema import SourceFile, Volume
from tests.small_archive import fill, study
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.web_app import client_of
from tests.web_archive import ODD
from web.formula_safe import write_csv

TEXT_ALONE = {"text": "effusion", "leg": "text"}


def rows_of(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8"), newline="")))


def words_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def test_csv_has_the_hits_of_the_search_and_no_formula(client, connection) -> None:
    hits = client.get("/api/v1/search", params=TEXT_ALONE).json()["hits"]
    answer = client.get("/api/v1/export.csv", params=TEXT_ALONE)
    assert answer.headers["content-disposition"] == 'attachment; filename="ctsearch-hits.csv"'
    rows = rows_of(answer)
    assert [(row["rank"], row["study"], float(row["score"])) for row in rows] == [
        (str(hit["rank"]), hit["study"], hit["score"]) for hit in hits
    ]
    assert rows[0]["study"] == ODD
    assert all("research use only" in row["note"] for row in rows)
    assert rows_of(client.post("/api/v1/export.csv", json={"text": "effusion", "legs": ["text"]})) == rows
    actions = connection.execute("SELECT action, detail FROM audit_event WHERE action = 'export'").fetchall()
    assert [detail["kind"] for _, detail in actions] == ["csv", "csv"]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "＝1"])
def test_a_cell_that_a_spreadsheet_would_compute_begins_with_an_apostrophe(cell: str) -> None:
    [row] = csv.DictReader(io.StringIO(write_csv(["a", "b"], [{"a": cell, "b": -1.5}]), newline=""))
    assert row == {"a": f"'{cell}", "b": "-1.5"}


def test_pdf_has_the_hits_who_asked_and_the_research_line(client) -> None:
    answer = client.get("/api/v1/export.pdf", params=TEXT_ALONE)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    words = words_of(answer.content)
    for said in ("Similar past cases", "text: effusion", "Research use only", "local, 20", "<script>"):
        assert said in words
    assert "Pleural effusion" in words


def test_a_picture_is_beside_a_hit_whose_voxels_are_at_hand(engine: Engine, tmp_path) -> None:
    path = write_nifti(tmp_path / "p_1.nii.gz", as_xyz(chest_hu()))
    case = study("p", volumes=("p_1",), findings="Effusion.", acquisition=Acquisition(sex="F"))
    fill(engine, [case], volumes={"p_1": [1, 0, 0, 0]})
    stat = path.stat()
    with engine.begin() as connection:
        place = connection.scalars(select(Volume.id)).one()
        source = {"uri": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        digest = hashlib.sha256(path.read_bytes()).digest()
        connection.execute(insert(SourceFile).values(volume_id=place, sha256=digest, **source))
    pdf = client_of(engine).get("/api/v1/export.pdf", params=TEXT_ALONE).content
    assert b"/Subtype /Image" in pdf
    assert "out of reach" not in words_of(pdf)


def test_reports_of_any_length_and_script_become_pages(engine: Engine) -> None:
    long = "Effusion. " + "Wort " * 20_000 + "x" * 5000 + " מלל 二 \u202e &lt;b> <b>"
    cases = [
        study(f"{'n' * 300}{number}", findings=long, labels={"Lung nodule": True}) for number in range(3)
    ]
    fill(engine, cases)
    answer = client_of(engine).get("/api/v1/export.pdf", params=TEXT_ALONE)
    assert answer.status_code == 200
    assert "Wort Wort" in words_of(answer.content)


def test_an_export_of_nothing_is_a_header_and_a_page(client) -> None:
    nothing = {**TEXT_ALONE, "age": "0:1"}
    assert rows_of(client.get("/api/v1/export.csv", params=nothing)) == []
    assert "No case matches" in words_of(client.get("/api/v1/export.pdf", params=nothing).content)
    assert client.get("/api/v1/export.csv").status_code == 422
