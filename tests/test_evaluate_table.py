"""`ctsearch evaluate table`: the paper's retrieval table, for models that read text and one that does not."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from tests.command import Command
from tests.latents_files import write_labels, write_latents
from tests.small_archive import fill, study


@pytest.fixture
def run(capsys, monkeypatch) -> Command:
    monkeypatch.setenv("COLUMNS", "80")
    return Command(capsys, monkeypatch)


def cases() -> list:
    """Twelve studies of CT-RATE with reports, eight of RAD-ChestCT without; one volume each."""
    draw = np.random.default_rng(1)
    labels = [{name: bool(draw.random() < 0.3) for name in ABNORMALITIES} for _ in range(20)]
    ct_rate = [
        study(f"valid_{n}_a", volumes=[f"valid_{n}_a_1"], findings="A nodule.", labels=labels[n])
        for n in range(12)
    ]
    external = [
        study(f"trn{n:05}", volumes=[f"trn{n:05}"], labels=labels[n], dataset="rad-chestct")
        for n in range(12, 20)
    ]
    return [*ct_rate, *external]


@pytest.fixture
def archive(engine: Engine) -> None:
    """One model that finds every volume by its report, and one that reads no text and lacks a volume."""
    draw, everything = np.random.default_rng(2), cases()
    names = [volume.name for case in everything for volume in case.volumes]
    latents = {name: draw.standard_normal(24) for name in names}
    reports = {case.study: latents[case.volumes[0].name] for case in everything if case.reports}
    fill(engine, everything, volumes=latents, reports=reports, collection="clip", dim=24)
    others = {name: draw.standard_normal(4) for name in names if name != "valid_3_a_1"}
    fill(engine, everything, volumes=others, collection="ct-net", encoder_digest="n" * 64)


@pytest.mark.usefixtures("archive")
def test_every_model_has_a_row_in_each_data_set_and_text_that_is_not_read_is_a_dash(run: Command) -> None:
    done = run("evaluate", "table", "--collection", "clip", "--collection", "ct-net", "--json")
    assert done.code == 0, done.err
    found = {of["dataset"]: of for of in done.json["datasets"]}
    assert {name: of["pool"]["volumes"] for name, of in found.items()} == {"ct-rate": 11, "rad-chestct": 8}
    clip, net = found["ct-rate"]["models"]
    assert (clip["left_out"], net["left_out"]) == (1, 0)
    assert clip["recall"]["5"]["value"] == 1.0  # every report's latent is its volume's
    assert clip["recall"]["5"]["random"] == pytest.approx(5 / 11)
    assert clip["recall"]["5"]["fold"] == pytest.approx(11 / 5)
    assert net["recall"]["5"]["value"] is None
    assert found["rad-chestct"]["models"][0]["recall"]["10"]["value"] is None
    assert list(net["map"]) == ["1", "5", "10", "50"]
    assert list(net["recall"]) == ["5", "10", "50", "100"]
    low, high = net["map"]["10"]["interval"]
    assert low <= net["map"]["10"]["value"] <= high


@pytest.mark.usefixtures("archive")
def test_the_table_has_the_figures_of_evaluate_retrieval_and_fits_80_columns(
    run: Command, tmp_path: Path
) -> None:
    printed = run("evaluate", "table", "--collection", "clip", "--collection", "ct-net", "--out", tmp_path)
    assert max(map(len, printed.out.splitlines())) <= 80
    lines = [line.split() for line in printed.out.splitlines()]
    assert ["ct-net", "–", "–", "–", "–"] in lines  # reads no text
    assert [line[-5:] for line in lines].count(
        ["recall", "@5", "@10", "@50", "@100"]
    ) == 1  # not for RAD-ChestCT
    with (tmp_path / "retrieval_table.csv").open(encoding="utf-8") as stream:
        rows = {(row["dataset"], row["model"]): row for row in csv.DictReader(stream)}
    assert ("ct-rate", "random") in rows
    assert rows["ct-rate", "ct-net"]["recall@5"] == ""


def test_files_make_the_same_table_as_their_own_evaluation(run: Command, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv")
    one, other = write_latents(tmp_path / "a.npz"), write_latents(tmp_path / "b.npz", seed=1)
    alone = run("evaluate", "retrieval", "--latents", other, "--labels", labels, "--json").json
    table = run("evaluate", "table", "--latents", one, "--latents", other, "--labels", labels, "--json").json
    figures = table["datasets"][0]["models"][1]
    for key, figure in {
        "map": alone["volume_to_volume"]["map"]["paper_iou"],
        "script_cumulative": alone["volume_to_volume"]["script_cumulative"],
        "recall": alone["report_to_volume"]["recall"],
    }.items():
        assert {k: cell["value"] for k, cell in figures[key].items()} == figure


def test_wrong_questions_are_refused_in_one_sentence(run: Command, tmp_path: Path) -> None:
    labels, latents = write_labels(tmp_path / "labels.csv"), write_latents(tmp_path / "a.npz")
    names = np.array([f"valid_{n}_b_{r}" for n in range(12) for r in (1, 2)])
    stranger = write_latents(tmp_path / "b.npz", name=names)
    every = tmp_path / "every.csv"
    every.write_text(labels.read_text() + labels.read_text().replace("_a_", "_b_").split("\n", 1)[1])
    for arguments, why in (
        ((), "a row a model"),
        (("--latents", latents, "--latents", latents, "--labels", labels), "named twice"),
        (("--latents", latents, "--latents", stranger, "--labels", every), "no volume in common"),
        (("--latents", latents), "needs --labels"),
    ):
        done = run("evaluate", "table", *arguments)
        assert done.code == 2
        assert why in done.err
        assert done.err.count("\n") == 1
