"""CSV tables as they come: encodings, delimiters, broken rows. What cannot be read for certain is refused."""

import os
import tempfile
from pathlib import Path

import pytest

from encoders.errors import DatasetError
from retrieval.datasets.columns import finding_columns, read_labels, read_metadata, read_report
from retrieval.datasets.tables import Row, read_columns, read_table, rows_by_name

REPORT = "VolumeName,Findings_EN,Impressions_EN\nvalid_1_a,{},Normal.\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain", REPORT.format("Ground-glass – 5 µm.").encode()),
        ("with a mark", b"\xef\xbb\xbf" + REPORT.format("Ground-glass – 5 µm.").encode()),
        ("UTF-16 of Excel", REPORT.replace(",", "\t").format("Ground-glass – 5 µm.").encode("utf-16")),
        ("semicolons", REPORT.replace(",", ";").format("Ground-glass – 5 µm.").encode()),
        ("tabs", REPORT.replace(",", "\t").format("Ground-glass – 5 µm.").encode()),
        (
            "Excel's separator line",
            ("sep=;\n" + REPORT.replace(",", ";").format("Ground-glass – 5 µm.")).encode(),
        ),
        ("carriage returns", REPORT.replace("\n", "\r\n").format("Ground-glass – 5 µm.").encode()),
        ("blank lines", REPORT.replace("\n", "\n\n").format("Ground-glass – 5 µm.").encode()),
        (
            "empty cells at the end",
            REPORT.replace("Normal.", "Normal.,,").format("Ground-glass – 5 µm.").encode(),
        ),
    ],
)
def test_a_table_reads_the_same_in_every_dialect(tmp_path: Path, name: str, content: bytes) -> None:
    table = read_table(write(tmp_path / "reports.csv", content))
    assert table.columns == ("VolumeName", "Findings_EN", "Impressions_EN")
    assert [row.cells for row in table.rows] == [("valid_1_a", "Ground-glass – 5 µm.", "Normal.")]
    assert table.warnings == ()


def test_latin_1_is_read_and_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path / "reports.csv", REPORT.format("Übersicht: 5 µm; é.").encode("latin-1"))
    table = read_table(path)
    assert table.rows[0].cells[1] == "Übersicht: 5 µm; é."
    assert len(table.warnings) == 1
    assert "not UTF-8" in table.warnings[0]
    assert "3 of its characters" in table.warnings[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"VolumeName,Findings_EN\n", "a header and no rows"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"a,b\n1,\x00\n", "zero bytes"),
        ("a,b\nŞişli,1\n".encode("cp1254"), "Windows-1254"),
        ("a,b\nÜbersicht,1\n".encode() + "Übersicht,2\n".encode("latin-1"), "line 3 on but UTF-8 elsewhere"),
        (b"a,b\n\x81,1\n", "not Windows-1252 either"),
        (b"a,b\n1,2\n3\n", "1 cells on line 3 and 2 columns"),
        (b"a,b\n1,2,3\n", "3 cells on line 2 and 2 columns"),
        (b'a,b\n1,"never closed\n2,3\n', "starts on line 2 never ends"),
        (b'a,b\n1,"closed"too early\n', "not a CSV table at line 2"),
        (b"a,b,A \n1,2,3\n", "twice"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], "UTF-16"),
    ],
)
def test_a_table_that_would_be_misread_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = write(tmp_path / "table.csv", content)
    with pytest.raises(DatasetError, match=message) as refusal:
        read_table(path)
    assert "table.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_table_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DatasetError, match="cannot be read"):
            read_table(path)


def test_a_table_that_may_not_be_read_is_refused() -> None:
    """Root reads everything, so the attempt is made by a child that has given up its rights."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    path = write(folder / "reports.csv", REPORT.format("Clear."))
    path.chmod(0o000)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            read_table(path)
            os.write(writing, b"was read")
        except DatasetError as refusal:
            os.write(writing, str(refusal).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        assert "Permission denied" in told.read()
    path.unlink()
    folder.rmdir()


def test_columns_are_found_whatever_their_case_and_signs(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "volume_name,FINDINGS EN\nvalid_1_a,Clear.\n"))
    assert table.find(("VolumeName",)) == 0
    assert read_report(table, table.rows[0], "valid_1_a").findings == "Clear."
    assert read_columns(tmp_path / "t.csv") == ("volume_name", "FINDINGS EN")


def test_a_missing_column_is_named_with_those_that_were_found(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "scanner,kernel\nA,B\n"))
    with pytest.raises(DatasetError, match=r"no column for the report .*its columns are scanner, kernel"):
        read_report(table, table.rows[0], "x")
    with pytest.raises(DatasetError, match=r"any of the 18 findings .*its columns are scanner, kernel"):
        finding_columns(table)


def test_sections_that_were_not_given_are_empty(tmp_path: Path) -> None:
    text = "name,Findings_EN,Impressions_EN,ClinicalInformation_EN\na,Clear.,Not given.,not given\n"
    table = read_table(write(tmp_path / "t.csv", text))
    report = read_report(table, table.rows[0], "a")
    assert (report.findings, report.impression, report.clinical_information) == ("Clear.", "", "")


def test_labels_are_present_absent_or_unknown(tmp_path: Path) -> None:
    columns = "name,Emphysema,Lung nodule,Atelectasis,Cardiomegaly,Consolidation,Bronchiectasis"
    text = f"{columns}\na,1,0,,-1,1.0,nan\n"
    table = read_table(write(tmp_path / "t.csv", text))
    labels = read_labels(table, table.rows[0], finding_columns(table))
    assert labels == {"Emphysema": True, "Lung nodule": False, "Consolidation": True}


@pytest.mark.parametrize("value", ["2", "yes", "0.7", "present"])
def test_a_label_that_is_none_is_refused_with_its_place(tmp_path: Path, value: str) -> None:
    table = read_table(write(tmp_path / "t.csv", f"name,Emphysema\na,1\nb,{value}\n"))
    with pytest.raises(DatasetError, match=f'"{value}" on line 3 in column Emphysema'):
        read_labels(table, table.rows[1], finding_columns(table))


def test_metadata_becomes_an_acquisition(tmp_path: Path) -> None:
    text = (
        "VolumeName;PatientSex;PatientAge;Manufacturer;ManufacturerModelName;ConvolutionKernel;XYSpacing;ZSpacing;"
        "RescaleSlope;RescaleIntercept;StudyDate;KVP\n"
        "a;F;018M;SIEMENS;SOMATOM Force;\"['Bl57d', '3']\";\"[0.68, 0.7]\";1,5;1;-1024;20210427;120\n"
    )
    table = read_table(write(tmp_path / "t.csv", text))
    row = read_metadata(table, table.rows[0])
    assert row.acquisition.sex == "F"
    assert row.acquisition.age_years == 1.5
    assert (row.acquisition.manufacturer, row.acquisition.model) == ("SIEMENS", "SOMATOM Force")
    assert row.acquisition.kernel == "Bl57d 3"
    assert row.rescale == (1.0, -1024.0)
    assert row.spacing_mm == (0.68, 0.7, 1.5)
    assert str(row.study_date) == "2021-04-27"
    assert row.acquisition.other == {"KVP": "120"}  # nothing with a place of its own, and no date


def test_metadata_that_is_no_number_is_refused(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "name,ZSpacing\na,thick\n"))
    with pytest.raises(ValueError, match='"thick" as slice spacing'):
        read_metadata(table, table.rows[0])


def test_equal_rows_count_once_and_differing_ones_not_at_all(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "name,text\na,1\nb,2\na,1\nb,3\nc,4\n"))
    rows, unreadable, warnings = rows_by_name(table, [row.cells[0] for row in table.rows])
    assert rows == {"a": Row(2, ("a", "1")), "c": Row(6, ("c", "4"))}
    assert [one.item for one in unreadable] == ["t.csv: lines 3 and 5"]
    assert "lists b on lines 3 and 5 with different content" in unreadable[0].error
    assert warnings == ["t.csv repeats 1 rows word for word; each was used once"]
