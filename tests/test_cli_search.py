"""`ctsearch search`, `score`, `cases` and `collections` as a person types them."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.encoder import load_encoder
from encoders.volumes import prepare_volume, preprocessing_digest
from retrieval.cases import Acquisition
from retrieval.named_cases import find_case
from retrieval.store import FileRow, Store
from tests.command import Command
from tests.small_archive import fill, study
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.tiny_model import LATENT_DIM, write_tiny_model

HIT_KEYS = {
    "rank",
    "volume",
    "study",
    "patient",
    "score",
    "labels",
    "shared_labels",
    "missing_labels",
    "other_labels",
    "legs",
    "matched_sentences",
    "report",
    "metadata",
}
SAID = {
    "a": "A nodule in the right upper lobe. No pleural effusion.",
    "b": "Bilateral pleural effusion. No nodule.",
    "c": "The heart is normal.\x1b[2J\x07",
}
FOUND = {
    "a": {"Lung nodule": True, "Pleural effusion": False},
    "b": {"Lung nodule": False, "Pleural effusion": True},
    "c": {"Lung nodule": False},
}


@pytest.fixture
def ctsearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "80")
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(directory)
    return directory


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three chests: a and c differ in height alone, b is small and noisy."""
    folder = tmp_path_factory.mktemp("scans")
    drawn = {"a": chest_hu(), "b": chest_hu((30, 70, 80), noise=90.0), "c": chest_hu((44, 96, 96))}
    return {name: write_nifti(folder / f"{name}.nii.gz", as_xyz(hu)) for name, hu in drawn.items()}


@pytest.fixture
def hospital(engine: Engine, model: Path, scans: dict[str, Path]) -> dict[str, Path]:
    """Studies a, b and c have a volume, whose file is known, and a report; d is in tables only."""
    encoder = load_encoder(model)
    cases = [
        study(
            name,
            patient=f"patient_{name}",
            volumes=(f"{name}_1",),
            findings=SAID[name],
            labels=FOUND[name],
            acquisition=Acquisition(sex="M" if name == "b" else "F", age_years=50, manufacturer="Philips"),
        )
        for name in "abc"
    ]
    latents = {
        f"{name}_1": encoder.encode_volumes(prepare_volume(path, grid=encoder.grid).volume_DHW[None, None])[0]
        for name, path in scans.items()
    }
    reports = dict(zip("abc", encoder.encode_reports(list(SAID.values())), strict=True))
    fill(
        engine,
        [*cases, study("d", patient="patient_d")],
        volumes=latents,
        reports=reports,
        encoder=str(model),
        encoder_digest=encoder.digest,
        preprocessing_digest=f"{preprocessing_digest(encoder.grid)}/deidentified-1",
        dim=LATENT_DIM,
    )
    rows = []
    for name, path in scans.items():
        with engine.connect() as connection:
            volume_id = find_case(connection, f"{name}_1").volume_id or 0
        content = path.read_bytes()
        row = FileRow(volume_id=volume_id, uri=str(path), size=len(content), mtime_ns=1, sha256=b"")
        rows.append(replace(row, sha256=hashlib.sha256(content).digest()))
    Store(engine).save_files(rows)
    return scans


# Search


def test_a_search_by_case_prints_one_document_with_every_key(hospital, ctsearch) -> None:
    ended = ctsearch("search", "--case", "a_1", "--json")
    assert (ended.code, ended.err) == (0, "")
    answer = ended.json
    contract = {"query", "collection", "engine", "exact", "took_ms", "hits"}
    assert set(answer) == contract | {"explanation", "warnings"}
    assert answer["query"]["engine"] == "auto"
    assert answer["warnings"] == []
    assert (answer["collection"], answer["engine"], answer["exact"]) == ("default", "pgvector", True)
    assert {hit["study"] for hit in answer["hits"]} == {"b", "c"}
    assert all(set(hit) == HIT_KEYS for hit in answer["hits"])
    hit = next(hit for hit in answer["hits"] if hit["study"] == "b")
    assert (hit["volume"], hit["patient"], hit["labels"]) == ("b_1", "patient_b", ["Pleural effusion"])
    assert hit["report"] == {"findings": SAID["b"], "impression": ""}
    assert hit["metadata"]["sex"] == "M"
    assert answer["query"]["labels"] == ["Lung nodule"]


def test_a_file_that_is_archived_finds_itself_only_if_asked_to(hospital, ctsearch) -> None:
    with_itself = ctsearch("search", "--volume", hospital["a"], "--exclude", "none", "--json").json
    assert with_itself["hits"][0]["volume"] == "a_1"
    assert with_itself["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert with_itself["query"]["labels"] == ["Lung nodule"]
    without = ctsearch("search", "--volume", hospital["a"], "--json").json
    assert {hit["study"] for hit in without["hits"]} == {"b", "c"}


def test_a_file_that_is_not_archived_excludes_nothing(hospital, ctsearch, tmp_path) -> None:
    stranger = write_nifti(tmp_path / "a.nii.gz", as_xyz(chest_hu(noise=11.0)))
    answer = ctsearch("search", "--volume", stranger, "--json").json
    assert len(answer["hits"]) == 3
    assert answer["query"]["stored_as"] == []


def test_a_sentence_and_a_report_ask_volumes_and_reports(hospital, ctsearch, tmp_path) -> None:
    text = ctsearch("search", "--text", "pleural effusions", "--json", "--explain")
    assert text.json["query"]["labels"] == ["Pleural effusion"]
    by_study = {hit["study"]: hit for hit in text.json["hits"]}
    assert by_study["b"]["shared_labels"] == ["Pleural effusion"]
    assert by_study["b"]["matched_sentences"] == ["Bilateral pleural effusion."]
    assert by_study["a"]["matched_sentences"] == ["No pleural effusion."]
    assert "volume latents" in text.err
    assert "report latents" in text.err
    assert "fused by reciprocal rank" in text.err
    report = tmp_path / "report.txt"
    report.write_text(f"Findings: {SAID['b']}\n")
    found = ctsearch("search", "--report", report, "--json").json
    assert found["query"]["labels"] == ["Pleural effusion"]
    assert len(found["hits"]) == 3


@pytest.mark.parametrize(
    ("filters", "studies"),
    [
        (["--label", "pleural effusions"], {"b"}),
        (["--without-label", "pleural effusion"], {"a"}),
        (["--label", "nodule", "--label", "plural effusion"], None),
        (["--sex", "f"], {"a", "c"}),
        (["--age", ":49"], set()),
        (["--manufacturer", "PHILIPS", "--sex", "M"], {"b"}),
        (["--label-source", "extractor", "--label", "nodule"], set()),
    ],
)
def test_filters_hold_for_every_hit(hospital, ctsearch, filters, studies) -> None:
    ended = ctsearch("search", "--text", "nodule", "--json", *filters)
    if studies is None:
        assert ended.code == 2
        assert "did you mean Pleural effusion" in ended.err
    else:
        assert {hit["study"] for hit in ended.json["hits"]} == studies


def test_the_table_fits_eighty_columns_and_steers_no_terminal(hospital, ctsearch) -> None:
    ended = ctsearch("search", "--case", "a")
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "The heart is normal." in ended.out
    assert "\x1b" not in ended.out
    assert "\x07" not in ended.out
    assert "Research use only" in ended.out
    nothing = ctsearch("search", "--case", "a", "--age", "90:")
    assert (nothing.code, "No case matches." in nothing.out) == (0, True)


def test_a_picture_of_the_answer_is_written(hospital, ctsearch, tmp_path) -> None:
    ended = ctsearch("search", "--case", "a_1", "--png", tmp_path / "hits.png", "--json")
    assert ended.code == 0
    assert "2 of 2 hits drawn" in ended.err
    with Image.open(tmp_path / "hits.png") as picture:
        assert picture.width == 3 * 310 + 10
        assert (np.asarray(picture.convert("L"))[:540, :300] > 200).mean() > 0.1  # the query's tile


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "needs one of --volume, --case, --text and --report; found none"),
        (["--case", "a", "--text", "x"], "found --case and --text"),
        (["--case", "a", "-k", "0"], "k=0"),
        (["--case", "nobody"], "no case is called 'nobody'"),
        (["--case", "a_2"], "did you mean a_1"),
        (["--case", "patient_a"], "is a patient, not a case; take one of the studies a"),
        (["--case", "d"], "d has no latent"),
        (["--case", "a", "--collection", "defualt"], "no collection 'defualt': did you mean 'default'"),
        (["--case", "a", "--age", "70:40"], "ends before it begins"),
        (["--case", "a", "--sex", "X"], "take F or M"),
        (["--case", "a", "--manufacturer", "GE"], "the archive has Philips"),
        (["--case", "a", "--unit", "patient"], "unit 'patient'"),
        (["--case", "a", "--engine", "magic"], "engine 'magic'"),
        (["--text", "  "], "the text is empty"),
        (["--report", "/nowhere/report.txt"], "report.txt cannot be read"),
        (["--volume", "/nowhere/scan.nii.gz"], "scan.nii.gz"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_exit_code_two(hospital, ctsearch, arguments, says) -> None:
    ended = ctsearch("search", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1


def test_a_collection_of_other_preprocessing_takes_no_new_volume(hospital, ctsearch, connection) -> None:
    connection.execute("UPDATE collection SET preprocessing_digest = 'older/deidentified-1'")
    for command in ("search", "score"):
        ended = ctsearch(command, "--volume", hospital["a"])
        assert ended.code == 2
        assert "preprocessing of another version" in ended.err
    assert ctsearch("search", "--case", "a").code == ctsearch("search", "--text", "nodule").code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--case", "a", "-k", 10**30], 0),
        (["--case", "a\udcff"], 2),  # as bytes that are no UTF-8 arrive
        (["--text", "nodule \udcff\x1b[31m"], 0),
        (["--text", "'; DROP TABLE study; -- % %s :x {}"], 0),
        (["--text", "nodule " * 20_000 + "x" * 5000], 0),
        (["--case", "a", "--manufacturer", "\udcff%"], 2),
        (["--case", "../../etc/passwd"], 2),
        (["--case", ""], 2),
    ],
)
def test_odd_arguments_end_in_an_answer_or_a_sentence(hospital, ctsearch, arguments, code) -> None:
    ended = ctsearch("search", *arguments)
    assert ended.code == code
    assert "Traceback" not in ended.err
    assert ctsearch("cases", "list", "--json").json["count"] == 5


def test_an_archive_without_a_collection_says_what_to_do(database, ctsearch) -> None:
    ended = ctsearch("search", "--case", "a")
    assert ended.code == 2
    assert "holds no collection yet; make one with `ctsearch index`" in ended.err


def test_a_search_by_case_loads_no_torch(hospital) -> None:
    code = (
        "import sys; sys.argv = ['ctsearch', 'search', '--case', 'a', '--json']\n"
        "from cli.main import app\n"
        "app(standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'SimpleITK', 'nibabel'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip() == "[]"


# Score


def test_the_eighteen_or_a_finding_in_words_are_scored(hospital, ctsearch) -> None:
    eighteen = ctsearch("score", "--case", "a", "--json").json
    assert eighteen["prompt"] == "{} is present."
    assert list(eighteen["abnormalities"]) == list(ABNORMALITIES)
    assert all(0 < value < 1 for value in eighteen["abnormalities"].values())
    of_file = ctsearch("score", "--volume", hospital["a"], "--json").json
    assert of_file["abnormalities"] == pytest.approx(eighteen["abnormalities"], abs=1e-5)
    paving = ctsearch(
        "score", "--case", "a", "--finding", "crazy paving", "--prompt", "there is", "--json"
    ).json
    assert (paving["prompt"], list(paving["abnormalities"])) == ("There is {}.", ["crazy paving"])
    table = ctsearch("score", "--case", "a")
    assert "Research use only" in table.out
    assert max(map(len, table.out.splitlines())) <= 80


def test_a_collection_is_ranked_by_a_finding(hospital, ctsearch) -> None:
    ranked = ctsearch("score", "--finding", "crazy paving", "--finding", "nodule", "-k", "2", "--json").json
    assert [ranking["finding"] for ranking in ranked["rankings"]] == ["crazy paving", "nodule"]
    for ranking in ranked["rankings"]:
        scores = [hit["score"] for hit in ranking["hits"]]
        assert len(scores) == 2
        assert scores == sorted(scores, reverse=True)
    assert "Probability" in ctsearch("score", "--finding", "crazy paving", "--sex", "F").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "needs --volume or --case, or a --finding"),
        (["--case", "a", "--volume", "x"], "found both"),
        (["--case", "a", "--prompt", "nonsense"], "negation in brackets"),
        (["--case", "a", "--finding", " "], "finding is empty"),
        (["--case", "d"], "no latent of its volume"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(hospital, ctsearch, arguments, says) -> None:
    ended = ctsearch("score", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


# Cases and collections


def test_cases_without_a_latent_are_listed_too(hospital, ctsearch) -> None:
    listed = ctsearch("cases", "list", "--json").json
    assert listed["count"] == 5
    rows = {case["volume"]: case for case in listed["cases"]}
    assert set(rows) == {"a_1", "b_1", "c_1", "d_1", "d_2"}
    assert (rows["a_1"]["collections"], rows["d_1"]["collections"]) == (["default"], [])
    assert rows["a_1"]["labels"] == ["Lung nodule"]
    assert rows["b_1"]["metadata"]["sex"] == "M"
    women = ctsearch("cases", "list", "--sex", "F", "--unit", "study", "--json").json
    assert [case["study"] for case in women["cases"]] == ["a", "c"]
    table = ctsearch("cases", "list", "-n", "2")
    assert "2 cases" in table.out
    assert max(map(len, table.out.splitlines())) <= 80


def test_what_is_removed_is_found_no_more(hospital, ctsearch) -> None:
    assert "removed 1 studies, 1 volumes" in ctsearch("cases", "remove", "--patient", "patient_b").out
    assert ctsearch("cases", "remove", "--study", "d").code == 0
    assert {hit["study"] for hit in ctsearch("search", "--case", "a", "--json").json["hits"]} == {"c"}
    assert {case["study"] for case in ctsearch("cases", "list", "--json").json["cases"]} == {"a", "c"}
    again = ctsearch("cases", "remove", "--patient", "patient_b")
    assert (again.code, again.out) == (2, "")
    assert (
        ctsearch("cases", "remove").code
        == ctsearch("cases", "remove", "--patient", "a", "--study", "b").code
        == 2
    )


def test_collections_are_listed_exported_and_dropped(hospital, ctsearch, tmp_path) -> None:
    [listed] = ctsearch("collections", "list", "--json").json["collections"]
    assert (listed["name"], listed["latent_dim"]) == ("default", LATENT_DIM)
    assert (listed["volumes"], listed["reports"], listed["studies"]) == (3, 3, 3)
    assert "default" in ctsearch("collections", "list").out
    assert ctsearch("collections", "export", "default", "--out", tmp_path / "latents.npz").code == 0
    with np.load(tmp_path / "latents.npz") as exported:
        assert exported["name"].tolist() == ["a_1", "b_1", "c_1"]
        assert exported["volume"].shape == exported["report"].shape == (3, LATENT_DIM)
    assert ctsearch("collections", "drop", "defaults").code == 2
    assert ctsearch("collections", "drop", "default").code == 0
    assert ctsearch("collections", "list", "--json").json == {"collections": []}
    assert ctsearch("cases", "list", "--json").json["count"] == 5  # cases stay


def test_what_a_locale_cannot_print_becomes_a_question_mark_and_no_traceback(hospital) -> None:
    code = "import sys; sys.argv = ['ctsearch', 'search', '--case', 'a']\nfrom cli.main import main\nmain()\n"
    poorest = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="ascii",
        env=os.environ | poorest,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert any(f"?{said.split()[0]}" in ended.stdout for said in SAID.values())  # a quotation mark
