"""`ctsearch evaluate retrieval` as a person runs it: on files, on a collection, on two of them."""

import json
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, R
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from retrieval.cases import Acquisition
from tests.command import Command
from tests.latents_files import write_labels, write_latents
from tests.shared import shared_file
from tests.small_archive import fill, study
from tests.tiny_model import LATENT_DIM, write_tiny_model

GOLDEN = "golden/retrieval_metrics"


@pytest.fixture
def run(capsys, monkeypatch) -> Command:
    return Command(capsys, monkeypatch)


def test_the_published_scripts_figures_are_reproduced_from_files(run: Command) -> None:
    expected = json.loads(shared_file(f"{GOLDEN}/expected_script.json").read_text(encoding="utf-8"))
    latents, labels = shared_file(f"{GOLDEN}/latents.npz"), shared_file(f"{GOLDEN}/labels.csv")
    done = run("evaluate", "retrieval", "--latents", latents, "--labels", labels, "--json")
    assert done.code == 0, done.err
    found = done.json
    overlap = found["volume_to_volume"]["script_cumulative"]
    assert overlap == pytest.approx(expected["script_cumulative_label_overlap"], abs=1e-6)
    assert found["report_to_volume"]["script_recall"] == pytest.approx(expected["script_recall"], abs=1e-6)
    assert {name: found["pool"][name] for name in ("volumes", "studies", "patients", "gallery")} == {
        "volumes": 160,
        "studies": 156,
        "patients": 151,
        "gallery": 140,
    }


def test_every_key_of_the_contract_is_there_and_intervals_hold_their_figures(
    run: Command, tmp_path: Path
) -> None:
    latents, labels = write_latents(tmp_path / "a.npz"), write_labels(tmp_path / "labels.csv")
    found = run("evaluate", "retrieval", "--latents", latents, "--labels", labels, "--json").json
    volumes, reports = found["volume_to_volume"], found["report_to_volume"]
    for figures in (volumes["label_overlap"], *volumes["map"].values(), volumes["script_cumulative"]):
        assert list(figures) == ["1", "5", "10", "50"]
    assert set(volumes["map"]) == {"paper_iou", "binary", "binary_trec"}
    assert set(volumes["floor"]) == {"random", "siblings_first"}
    for name in ("recall", "recall_by_study", "script_recall"):
        assert list(reports[name]) == ["5", "10", "50", "100"]
    assert reports["floor"]["random"]["recall"]["5"] == pytest.approx(5 / 24)
    assert reports["floor"]["random"]["recall_by_study"]["5"] == pytest.approx(5 / 12)
    for group in ("volume_to_volume", "report_to_volume"):
        for name, ends in found["interval"][group].items():
            nested = ends.items() if name == "map" else [(None, ends)]
            for key, by_k in nested:
                of = found[group][name] if key is None else found[group][name][key]
                assert all(low <= of[k] <= high for k, (low, high) in by_k.items())
    assert "own study" in found["definitions"]["gallery"]


def test_names_may_end_in_nii_gz_and_label_columns_stand_in_any_order_by_other_names(
    run: Command, tmp_path: Path
) -> None:
    latents, labels = write_latents(tmp_path / "a.npz"), write_labels(tmp_path / "labels.csv")
    plain = run("evaluate", "retrieval", "--latents", latents, "--labels", labels, "--json").json
    names = np.array([f"{name}.nii.gz" for name in np.load(latents)["name"]])
    renamed = write_latents(tmp_path / "b.npz", name=names)
    rows = [line.split(",") for line in labels.read_text(encoding="utf-8").splitlines()]
    rows[0] = [{"Lung nodule": "nodule", "Emphysema": "emphysematous change"}.get(c, c) for c in rows[0]]
    order = [3, 0, *range(18, 3, -1), 1, 2]
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join(";".join(row[i] for i in order) for row in rows), encoding="utf-8")
    same = run("evaluate", "retrieval", "--latents", renamed, "--labels", shuffled, "--json").json
    assert same["volume_to_volume"] == plain["volume_to_volume"]
    assert same["report_to_volume"] == plain["report_to_volume"]


def test_volumes_without_a_report_do_not_ask_but_stay_in_the_way(run: Command, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv")
    has_report = np.arange(24) >= 20
    latents = write_latents(tmp_path / "a.npz", has_report=has_report)
    found = run("evaluate", "retrieval", "--latents", latents, "--labels", labels, "--json").json
    assert found["pool"]["volumes"] == 24
    assert found["pool"]["reports"] == {"both": 4}
    recall = found["report_to_volume"]["recall"]["5"]
    assert (recall * 4) == pytest.approx(round(recall * 4))
    assert found["report_to_volume"]["floor"]["random"]["recall"]["5"] == pytest.approx(5 / 24)


def test_sections_of_reports_in_a_file_are_reported_beside_the_whole(run: Command, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv")
    volume = np.random.default_rng(0).standard_normal((24, 5))
    impression = np.where(np.arange(24)[:, None] < 12, volume, 0)  # half have none; the others are perfect
    latents = write_latents(tmp_path / "a.npz", volume=volume, report_impression=impression)
    arguments = ("evaluate", "retrieval", "--latents", latents, "--labels", labels, "--json")
    found = run(*arguments).json
    assert found["pool"]["reports"] == {"both": 24, "impression": 12}
    assert found["report_to_volume"]["sections"]["impression"]["recall"]["5"] == 1.0
    asked = run(*arguments, "--report-section", "impression").json
    assert (
        asked["report_to_volume"]["recall"] == found["report_to_volume"]["sections"]["impression"]["recall"]
    )
    refused = run(*arguments, "--report-section", "findings")
    assert refused.code == 2
    assert "report_findings" in refused.err


def archive(engine: Engine, encoder: Path, digest: str) -> None:
    """Ten studies, one without a report, in a collection."""
    draw = np.random.default_rng(1)
    cases = [
        study(
            f"valid_{number}_a",
            patient=f"valid_{number // 2}",
            findings="" if number == 3 else f"{ABNORMALITIES[number]} is present in the right lung.",
            impression="" if number == 3 else ABNORMALITIES[number],
            labels={name: bool(draw.random() < 0.3) for name in ABNORMALITIES},
            acquisition=Acquisition(age_years=40.0 + number),
        )
        for number in range(10)
    ]
    fill(
        engine,
        cases,
        volumes={v.name: draw.standard_normal(LATENT_DIM) for case in cases for v in case.volumes},
        reports={r.name: draw.standard_normal(LATENT_DIM) for case in cases for r in case.reports},
        collection="chest",
        encoder=str(encoder),
        encoder_digest=digest,
        dim=LATENT_DIM,
    )


@pytest.fixture
def chest(engine: Engine, tmp_path: Path) -> None:
    card = write_tiny_model(tmp_path / "tiny")
    archive(engine, card.directory, card.digest)


@pytest.mark.usefixtures("chest")
def test_a_collection_and_its_export_have_the_same_figures(
    run: Command, engine: Engine, tmp_path: Path
) -> None:
    exported = tmp_path / "chest.npz"
    assert run("collections", "export", "chest", "--out", exported).code == 0
    rows = [",".join(["VolumeName", *ABNORMALITIES])]
    with engine.connect() as connection:
        present = connection.exec_driver_sql(
            "SELECT volume.name, present FROM volume JOIN label USING (study_id)"
        )
        rows += [
            ",".join([name, *(str(found >> bit & 1) for bit in range(len(ABNORMALITIES)))])
            for name, found in present
        ]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(rows), encoding="utf-8")
    stored = run("evaluate", "retrieval", "--collection", "chest", "--json").json
    filed = run("evaluate", "retrieval", "--latents", exported, "--labels", labels, "--json").json
    for part in ("volume_to_volume", "report_to_volume", "interval"):
        assert stored[part] == filed[part]
    assert stored["pool"] == {**filed["pool"], "source": "collection chest"}
    assert stored["pool"]["reports"] == {"both": 18}
    assert stored["pool"]["patients"] == 5


@pytest.mark.usefixtures("chest")
def test_sections_of_a_collections_reports_are_encoded_by_its_encoder(run: Command) -> None:
    found = run("evaluate", "retrieval", "--collection", "chest", "--report-section", "all", "--json")
    assert found.code == 0, found.err
    assert found.json["pool"]["reports"] == {"both": 18, "findings": 18, "impression": 18}
    sections = found.json["report_to_volume"]["sections"]
    assert set(sections) == {"both", "findings", "impression"}
    alone = run("evaluate", "retrieval", "--collection", "chest", "--report-section", "impression", "--json")
    assert alone.json["report_to_volume"]["recall"] == sections["impression"]["recall"]


@pytest.mark.usefixtures("chest")
def test_a_collection_against_itself_differs_by_nothing(run: Command) -> None:
    done = run("evaluate", "retrieval", "--collection", "chest", "--against", "chest", "--json")
    comparison = done.json["comparison"]
    assert comparison["permutations"] == 10_000
    for figures in (
        comparison["volume_to_volume"]["label_overlap"],
        comparison["volume_to_volume"]["map"]["binary_trec"],
        comparison["report_to_volume"]["recall"],
    ):
        assert all(of == {"difference": 0.0, "interval": [0.0, 0.0], "p": 1.0} for of in figures.values())


def test_two_files_are_compared_on_the_volumes_they_share(run: Command, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv")
    whole = write_latents(tmp_path / "whole.npz")
    names = np.load(whole)["name"]
    kept = np.flatnonzero(names != "valid_0_a_1")[::-1]  # in another order, of another space
    other = write_latents(tmp_path / "other.npz", seed=5)
    part = tmp_path / "part.npz"
    np.savez(
        part, name=names[kept], volume=np.load(other)["volume"][kept], report=np.load(other)["report"][kept]
    )
    arguments = ("evaluate", "retrieval", "--labels", labels, "--json")
    found = run(*arguments, "--latents", whole, "--against", part).json
    assert (found["pool"]["volumes"], found["pool"]["left_out"]) == (23, 1)
    assert (found["against"]["pool"]["volumes"], found["against"]["pool"]["left_out"]) == (23, 0)
    turned = run(*arguments, "--latents", part, "--against", whole).json
    for k, one in found["comparison"]["volume_to_volume"]["label_overlap"].items():
        other_way = turned["comparison"]["volume_to_volume"]["label_overlap"][k]
        assert one["difference"] == pytest.approx(-other_way["difference"])
        assert 0 < one["p"] <= 1
        figure = found["volume_to_volume"]["label_overlap"][k]
        against = found["against"]["volume_to_volume"]["label_overlap"][k]
        assert one["difference"] == pytest.approx(figure - against)


def test_the_output_folder_holds_runs_that_other_programs_score_the_same(
    run: Command, tmp_path: Path
) -> None:
    latents, labels = write_latents(tmp_path / "a.npz"), write_labels(tmp_path / "labels.csv")
    metadata = tmp_path / "metadata.csv"
    metadata.write_text("VolumeName,PatientAge\nvalid_0_a_1.nii.gz,061Y\n", encoding="utf-8")
    out = tmp_path / "out" / "deep"
    done = run(
        "evaluate", "retrieval", "--latents", latents, "--labels", labels, "--metadata", metadata,
        "--out", out, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = done.json
    assert json.loads((out / "retrieval.json").read_text(encoding="utf-8")) == found

    def score(task: str, judged: str, measures: list) -> dict:
        qrels = list(ir_measures.read_trec_qrels(str(out / judged)))
        ranked = list(ir_measures.read_trec_run(str(out / f"{task}.run")))
        values: dict = dict.fromkeys(measures, 0.0)
        for metric in ir_measures.iter_calc(measures, qrels, ranked):
            values[metric.measure] += metric.value / 24
        return values

    by_trec = score("volume_to_volume", "volume_to_volume.qrels", [AP @ 1, AP @ 5, AP @ 10])
    for k in (1, 5, 10):
        expected = found["volume_to_volume"]["map"]["binary_trec"][str(k)]
        assert by_trec[AP @ k] == pytest.approx(expected, abs=1e-9)
    by_trec = score("report_to_volume", "report_to_volume.qrels", [R @ 5, R @ 10])
    for k in (5, 10):
        assert by_trec[R @ k] == pytest.approx(found["report_to_volume"]["recall"][str(k)])
    for picture in ("k_curves", "tsne_findings", "tsne_number_of_findings", "tsne_age"):
        assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_fits_80_columns_and_shows_figures_with_floors(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    latents, labels = write_latents(tmp_path / "a.npz"), write_labels(tmp_path / "labels.csv")
    other = write_latents(tmp_path / "b.npz", seed=3)
    for extra in ((), ("--against", other)):
        done = run("evaluate", "retrieval", "--latents", latents, "--labels", labels, *extra)
        assert done.code == 0, done.err
        assert max(map(len, done.out.splitlines())) <= 80
        assert "label overlap" in done.out
        assert "24 volumes of 12 studies and 12 patients" in done.out
