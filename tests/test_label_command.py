"""`ctsearch train report-labels`, `label` and `index --label-model` as a person types them."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from encoders.abnormalities import ABNORMALITIES
from encoders.model_card import BUILT_IN
from tests.annotated_reports import made_up_reports, write_annotated
from tests.command import Command
from tests.datasets import make_table
from tests.tiny_model import write_tiny_model

HEADER = ",".join(["AccessionNo", "report_text", *ABNORMALITIES])


@pytest.fixture
def ctsearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extractor that was fitted to made-up reports by the command."""
    folder = tmp_path_factory.mktemp("labels")
    table = write_annotated(folder / "annotated.csv", *made_up_reports(60, seed=5))
    with pytest.MonkeyPatch.context() as patch:
        from cli.main import main

        patch.setattr(
            "sys.argv",
            ["ctsearch", "train", "report-labels", "--reports", str(table), "--out", str(folder / "model")],
        )
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder / "model"


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


@pytest.mark.parametrize("kind", ["rules", "trained"])
def test_rows_are_labelled_in_their_order_beside_their_first_two_columns(
    kind: str, ctsearch: Command, trained: Path, tmp_path: Path
) -> None:
    reports, labels = made_up_reports(30, seed=6)
    written = [f'  "quoted", {report}\n' for report in reports]
    table, out = tmp_path / "reports.csv", tmp_path / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["AccessionNo", "report_text", "note"])
        writer.writerows([f"case {9 - number}", text, "x"] for number, text in enumerate(written))
    model = "rules" if kind == "rules" else trained
    ended = ctsearch("label", table, "--model", model, "--out", out)
    assert ended.code == 0, ended.err
    header, *rows = rows_of(out)
    assert header == ["AccessionNo", "report_text", *ABNORMALITIES]
    assert [row[:2] for row in rows] == [[f"case {9 - n}", text] for n, text in enumerate(written)]
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], dtype=int), labels)


def test_findings_and_impression_of_ct_rate_are_read_together(ctsearch: Command, tmp_path: Path) -> None:
    table = make_table(
        tmp_path / "reports.csv",
        "VolumeName,ClinicalInformation_EN,Technique_EN,Findings_EN,Impressions_EN",
        "valid_1_a,Emphysema?,CT,No effusion,Consolidation",
        "valid_2_a,Cough,CT,Not given.,",
    )
    ended = ctsearch("label", table, "--model", "rules", "--out", tmp_path / "labels.csv")
    assert ended.code == 0, ended.err
    assert "1 rows have no report" in ended.err
    header, first, second = rows_of(tmp_path / "labels.csv")
    assert header[:2] == ["VolumeName", "ClinicalInformation_EN"]
    assert [name for name, value in zip(header, first, strict=True) if value == "1"] == ["Consolidation"]
    assert second[2:] == [""] * 18  # nobody knows, which is not absent


def test_the_same_run_on_the_same_reports_gives_the_same_model(
    ctsearch: Command, trained: Path, tmp_path: Path
) -> None:
    table = write_annotated(tmp_path / "annotated.csv", *made_up_reports(60, seed=5))
    ended = ctsearch("train", "report-labels", "--reports", table, "--out", tmp_path / "again")
    assert ended.code == 0, ended.err
    of = [json.loads((folder / "labels.json").read_text()) for folder in (trained, tmp_path / "again")]
    assert of[0]["files"] == of[1]["files"]


ROW = ",".join(["a", "No effusion.", *["0"] * 18])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((), "is empty"),
        ((HEADER,), "a header and no rows"),
        (("AccessionNo,report_text", "a,No effusion."), "has no column for any of the 18 findings"),
        ((HEADER.removesuffix("," + ABNORMALITIES[-1]), ROW[:-2]), f"the label {ABNORMALITIES[-1]}"),
        ((HEADER.replace("report_text", "words"), ROW), "has no column for the report"),
        ((HEADER, ROW[:-1]), f"does not say on line 2 whether there is {ABNORMALITIES[-1]}"),
        ((HEADER, ROW[:-1] + "7"), '"7" on line 2'),
        ((HEADER, ROW.replace("No effusion.", "")), "has no report on line 2"),
        ((HEADER, ROW), "has 1 reports"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_refused_in_one_sentence(
    rows: tuple[str, ...], sentence: str, ctsearch: Command, tmp_path: Path
) -> None:
    table = make_table(tmp_path / "annotated.csv", *rows)
    ended = ctsearch("train", "report-labels", "--reports", table, "--out", tmp_path / "model")
    assert ended.code == 2
    assert sentence in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((), "is empty"),
        (("AccessionNo,report_text",), "a header and no rows"),
        (("name,words", "a,No effusion."), "has no column for the report"),
        (("report_text", "No effusion."), "has the column report_text alone"),
    ],
)
def test_a_table_without_reports_is_refused_in_one_sentence(
    rows: tuple[str, ...], sentence: str, ctsearch: Command, tmp_path: Path
) -> None:
    table = make_table(tmp_path / "reports.csv", *rows)
    ended = ctsearch("label", table, "--model", "rules", "--out", tmp_path / "labels.csv")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert sentence in ended.err
    assert not (tmp_path / "labels.csv").exists()


def changed_card(model: Path, **changes: object) -> None:
    card = model / "labels.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "holds no label extractor"),
        (lambda model: (model / "labels.json").write_text("{}"), "does not describe a label extractor"),
        (lambda model: (model / "vocabulary.json").write_text("{}"), "is not the file that was written"),
        (lambda model: (model / "trees.safetensors").unlink(), "cannot be read"),
        (lambda model: changed_card(model, format="ctsearch report labels 9"), "has the format"),
        (lambda model: changed_card(model, kind="crystal ball"), "which this version does not know"),
        (lambda model: changed_card(model, abnormalities=["Emphysema"]), "labels other findings"),
        (lambda model: changed_card(model, settings={"sentences_version": 0}), "read sentences otherwise"),
        (lambda model: changed_card(model, kind="transformer"), "does not say how long its windows are"),
    ],
)
def test_a_model_that_is_none_or_not_whole_is_refused_in_one_sentence(
    damage, sentence: str, ctsearch: Command, trained: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(trained, tmp_path / "model")
    damage(model)
    table = make_table(tmp_path / "reports.csv", "AccessionNo,report_text", "a,No effusion.")
    ended = ctsearch("label", table, "--model", model, "--out", tmp_path / "labels.csv")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert sentence in ended.err


def test_an_encoder_of_volumes_labels_nothing_and_is_not_written_over(
    ctsearch: Command, tmp_path: Path
) -> None:
    table = write_annotated(tmp_path / "reports.csv", *made_up_reports(20, seed=7))
    encoder = BUILT_IN / "phantom-tiny"
    asked = ctsearch("label", table, "--model", encoder, "--out", tmp_path / "labels.csv")
    assert (asked.code, "holds no label extractor" in asked.err) == (2, True)
    written = ctsearch("train", "report-labels", "--reports", table, "--out", encoder)
    assert (written.code, "is no label extractor" in written.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--run", "rules"), "which labels no reports; there is sentences, radbert"),
        (("--init", "."), "this run trains no encoder"),
        (("--run", "radbert", "--init", "nowhere"), "which is no directory"),
        (("--folds", "1"), "leaves no report to fit to"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: tuple[str, ...], sentence: str, ctsearch: Command, tmp_path: Path
) -> None:
    table = write_annotated(tmp_path / "reports.csv", *made_up_reports(20, seed=7))
    ended = ctsearch("train", "report-labels", "--reports", table, "--out", tmp_path / "m", *arguments)
    assert (ended.code, sentence in ended.err) == (2, True), ended.err


def test_the_table_of_reports_is_not_written_over_and_a_missing_folder_is_found_first(
    ctsearch: Command, tmp_path: Path
) -> None:
    table = make_table(tmp_path / "reports.csv", "AccessionNo,report_text", "a,No effusion.")
    before = table.read_bytes()
    ended = ctsearch("label", table, "--model", "rules", "--out", table)
    assert (ended.code, table.read_bytes()) == (2, before)
    ended = ctsearch("label", table, "--model", "rules", "--out", tmp_path / "no" / "labels.csv")
    assert (ended.code, "whose folder does not exist" in ended.err) == (2, True)


def test_indexing_reads_missing_labels_from_reports_and_keeps_those_given(
    database: str, ctsearch: Command, tmp_path: Path
) -> None:
    reports = make_table(
        tmp_path / "reports.csv",
        "VolumeName,Findings_EN,Impressions_EN",
        "valid_1_a,Emphysema is seen. No consolidation.,Not given.",
        "valid_2_a,Emphysema and consolidation are seen.,Not given.",
    )
    labels = make_table(
        tmp_path / "labels.csv", "VolumeName,Emphysema,Cardiomegaly", "valid_2_a_1.nii.gz,0,1"
    )
    metadata = make_table(
        tmp_path / "metadata.csv", "VolumeName,PatientSex", "valid_1_a_1.nii.gz,F", "valid_2_a_1.nii.gz,M"
    )
    model = tmp_path / "tiny"
    write_tiny_model(model)
    command = ("index", tmp_path, "--format", "ct-rate", "--encoder", model, "--json")
    tables = ("--reports", reports, "--labels", labels, "--metadata", metadata)

    def listed(*filters: str) -> dict[str, set[str]]:
        cases = ctsearch("cases", "list", "--unit", "study", *filters, "--json").json["cases"]
        return {case["study"]: set(case["labels"]) for case in cases}

    assert ctsearch(*command, *tables).code == 0
    assert listed() == {"valid_1_a": set(), "valid_2_a": {"Cardiomegaly"}}  # none is the default
    ended = ctsearch(*command, *tables, "--label-model", "rules")
    assert ended.code == 0, ended.err
    assert listed() == {"valid_1_a": {"Emphysema"}, "valid_2_a": {"Cardiomegaly", "Consolidation"}}
    assert listed("--label", "Consolidation", "--label-source", "extractor").keys() == {"valid_2_a"}
    assert listed("--label", "Emphysema", "--label-source", "extractor").keys() == {"valid_1_a"}
    assert listed("--label", "Cardiomegaly", "--label-source", "manual").keys() == {"valid_2_a"}
    assert listed("--without-label", "Consolidation").keys() == {"valid_1_a"}
    again = ctsearch(*command, *tables, "--label-model", "rules")
    assert (again.json["indexed"], again.json["updated"]) == (0, 0)


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_indexing_with_a_model_that_is_not_there_stops_before_it_starts(
    dry_run: tuple[str, ...], database: str, ctsearch: Command, tmp_path: Path
) -> None:
    ended = ctsearch("index", tmp_path, "--label-model", tmp_path / "nowhere", *dry_run)
    assert (ended.code, "holds no label extractor" in ended.err) == (2, True)


def test_without_scikit_learn_the_command_that_installs_it_is_named(
    ctsearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    table = write_annotated(tmp_path / "reports.csv", *made_up_reports(20, seed=7))
    ended = ctsearch("train", "report-labels", "--reports", table, "--out", tmp_path / "model")
    assert (ended.code, "pip install 'ctsearch[train]'" in ended.err) == (2, True)


def test_what_is_fitted_labels_without_scikit_learn(
    ctsearch: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    table = make_table(tmp_path / "reports.csv", "AccessionNo,report_text", "a,There is emphysema.")
    ended = ctsearch("label", table, "--model", trained, "--out", tmp_path / "labels.csv")
    assert ended.code == 0, ended.err
