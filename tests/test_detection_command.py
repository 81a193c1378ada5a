"""`ctsearch evaluate detection` as a person runs it: on files, on a collection, on two of them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, roc_auc_score
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES, PROMPTS
from tests.command import Command
from tests.latents_files import write_labels
from tests.scores_files import write_scores
from tests.shared import shared_file
from tests.small_archive import fill, study
from tests.tiny_model import LATENT_DIM, write_tiny_model

METRICS = ("auroc", "f1", "accuracy", "precision")


@pytest.fixture
def run(capsys, monkeypatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "labels.csv", studies=60)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_figures_are_scikit_learns_on_the_volumes_that_are_said_to_be_scored(
    run: Command, labels: Path, tmp_path: Path
) -> None:
    scores, out = write_scores(tmp_path / "a.npz", labels), tmp_path / "out" / "deep"
    arguments = ("evaluate", "detection", "--scores", scores, "--labels", labels, "--json")
    done = run(*arguments, "--out", out)
    assert done.code == 0, done.err
    found = done.json
    assert json.loads((out / "detection.json").read_text(encoding="utf-8")) == found
    part = {row["VolumeName"]: row["Part"] for row in table(out / "volumes.csv")}
    assert {name[:-2] for name, of in part.items() if of == "scored"}.isdisjoint(
        name[:-2] for name, of in part.items() if of == "thresholds"
    )
    assert list(part.values()).count("thresholds") == found["thresholds"]["volumes"] == 12  # 6 of 60 patients
    rows = [row for row in table(labels) if part[row["VolumeName"].removesuffix(".nii.gz")] == "scored"]
    stored = np.load(scores)
    score = dict(zip(stored["name"].tolist(), stored["score"], strict=True))
    for finding, of in found["findings"].items():
        column = ABNORMALITIES.index(finding)
        present = np.array([row[finding] == "1" for row in rows])
        values = np.array([score[row["VolumeName"]][column] for row in rows])
        assert (of["support"], of["volumes"]) == (present.sum(), 108)
        assert of["auroc"] == pytest.approx(roc_auc_score(present, values))
        assert of["interval"]["auroc"][0] <= of["auroc"] <= of["interval"]["auroc"][1]
        prevalence = present.mean()
        assert of["floor"]["auroc"] == 0.5
        assert of["floor"]["all_absent"]["accuracy"] == pytest.approx(1 - prevalence)
        assert of["floor"]["all_present"]["precision"] == pytest.approx(prevalence)
        if of["threshold"] is None:
            assert (of["f1"], of["accuracy"], of["confusion"]) == (None, None, None)
            continue
        called = values >= of["threshold"]
        assert of["f1"] == pytest.approx(f1_score(present, called, average="weighted"))
        assert of["accuracy"] == pytest.approx(accuracy_score(present, called))
        assert of["precision"] == pytest.approx(precision_score(present, called, zero_division=0))
        assert sum(of["confusion"].values()) == 108
    for metric in METRICS:
        known = [of[metric] for of in found["findings"].values() if of[metric] is not None]
        assert found["mean"][metric] == pytest.approx(np.mean(known))
    lines = table(out / "findings.csv")
    assert [line["Abnormality"] for line in lines] == [*found["findings"], "Mean"]
    assert float(lines[-1]["AUROC"]) == pytest.approx(found["mean"]["auroc"], abs=1e-6)
    for picture in ("roc_curves", "confusion_matrices"):
        assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    assert not list(out.glob("tsne*"))  # scores have no latents
    assert found["prompts"] == {}
    assert run(*arguments).json == found  # all of it from the seed
    other = run(*arguments, "--seed", 1).json
    assert other["thresholds"]["seed"] == 1
    assert other["mean"]["auroc"] != found["mean"]["auroc"]  # other patients are scored


def test_copies_of_a_patients_volumes_do_not_narrow_the_intervals(run: Command, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv", studies=60)
    rows = labels.read_text(encoding="utf-8").splitlines()
    once = [row for row in rows[1:] if row.split(",")[0].endswith("_1.nii.gz")]
    ends = []
    for copies in (1, 4):
        volumes = [
            row.replace("_1.nii.gz", f"_{copy}.nii.gz") for row in once for copy in range(1, 1 + copies)
        ]
        labels.write_text("\n".join([rows[0], *volumes]), encoding="utf-8")
        score = np.repeat(np.random.default_rng(0).random((60, 18)), copies, axis=0)
        scores = write_scores(tmp_path / f"{copies}.npz", labels, score=score)
        found = run("evaluate", "detection", "--scores", scores, "--labels", labels, "--json").json
        ends.append([of["interval"]["auroc"] for of in found["findings"].values()])
    assert np.array(ends[0]) == pytest.approx(np.array(ends[1]))


def test_unknown_labels_are_left_out_and_findings_without_both_kinds_are_said(
    run: Command, labels: Path, tmp_path: Path
) -> None:
    rows = [line.split(",") for line in labels.read_text(encoding="utf-8").splitlines()]
    nodule, hernia = rows[0].index("Lung nodule"), rows[0].index("Hiatal hernia")
    for number, row in enumerate(rows[1:]):
        row[hernia] = "0"
        if number % 3 == 0:
            row[nodule] = "-1" if number % 2 else ""
    columns = [place for place, name in enumerate(rows[0]) if name != "Emphysema"]
    labels.write_text("\n".join(",".join(row[c] for c in columns) for row in rows), encoding="utf-8")
    scores = write_scores(tmp_path / "a.npz", labels)
    done = run("evaluate", "detection", "--scores", scores, "--labels", labels, "--json")
    found = done.json
    assert found["left_out"] == {
        "Hiatal hernia": "no scored volume is known to show it",
        "Emphysema": "no label is known",
    }
    assert "Emphysema: left out, no label is known" in done.err
    assert len(found["findings"]) == found["mean"]["findings"] == 16
    assert found["pool"]["unknown_labels"] == 120 + 40
    assert found["findings"]["Lung nodule"]["volumes"] < found["pool"]["scored"]["volumes"] == 108


def test_rad_chestct_has_no_mosaic_and_one_calcification_with_the_larger_score(
    run: Command, tmp_path: Path
) -> None:
    labels = shared_file("rad_chestct/labels.csv")
    draw = np.random.default_rng(0)
    names = np.array([row["NoteAcc_DEID"] for row in table(labels)])
    present = np.array([row["Arterial wall calcification"] == "1.0" for row in table(labels)])
    score = draw.standard_normal((len(names), 18))
    score[:, 1] += present
    scores = write_scores(tmp_path / "rad.npz", labels, name=names, score=score)
    out = tmp_path / "out"
    arguments = ("evaluate", "detection", "--scores", scores, "--labels", labels, "--json", "--resamples", 10)
    found = run(*arguments, "--out", out).json
    assert found["finding_set"] == "rad-chestct"
    assert set(found["left_out"]) == {"Mosaic attenuation pattern", "Medical material", "Lymphadenopathy"}
    assert len(found["findings"]) == 14  # the 15 of the table, two of them as one
    scored = np.array([row["Part"] == "scored" for row in table(out / "volumes.csv")])
    larger = np.maximum(score[:, 1], score[:, 4])  # arterial wall and coronary artery
    assert found["findings"]["Calcification"]["auroc"] == pytest.approx(
        roc_auc_score(present[scored], larger[scored])
    )
    assert found["pool"]["patients"] == 3630
    apart = run(*arguments, "--findings", "ct-rate").json
    assert "Calcification" not in apart["findings"]
    assert "Coronary artery wall calcification" in apart["findings"]


def test_the_release_of_rad_chestct_is_read_by_place(run: Command, tmp_path: Path) -> None:
    rows = ["NoteAcc_DEID,nodule*right_lower,nodule*left_lung,calcification*aorta"]
    rows += [f"trn{n:05},{n % 2},0,{n % 3 % 2}" for n in range(1, 41)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(rows), encoding="utf-8")
    nodule = np.array([n % 2 for n in range(1, 41)])
    score = np.repeat(nodule[:, None].astype(float), 18, axis=1)
    scores = write_scores(tmp_path / "a.npz", labels, score=score)
    found = run("evaluate", "detection", "--scores", scores, "--labels", labels, "--json").json
    assert set(found["findings"]) == {"Calcification", "Lung nodule"}
    assert {found["findings"]["Lung nodule"][metric] for metric in METRICS} == {1.0}


def test_two_models_are_compared_on_the_volumes_they_share(
    run: Command, labels: Path, tmp_path: Path
) -> None:
    good = write_scores(tmp_path / "good.npz", labels, skill=3)
    poor = write_scores(tmp_path / "poor.npz", labels, seed=1, skill=0)
    stored = np.load(poor)
    kept = np.arange(4, 120)[::-1]  # in another order, on another scale, two patients fewer
    part = tmp_path / "part.npz"
    np.savez(part, name=stored["name"][kept], score=stored["score"][kept] * 100)
    arguments = ("evaluate", "detection", "--labels", labels, "--json")
    done = run(*arguments, "--scores", good, "--against", part, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    found = done.json
    assert (found["pool"]["volumes"], found["pool"]["left_out"]) == (116, 4)
    assert (found["against"]["pool"]["volumes"], found["against"]["pool"]["left_out"]) == (116, 0)
    turned = run(*arguments, "--scores", part, "--against", good, "--skip-unlabelled").json
    for metric in METRICS:
        one, other_way = found["comparison"]["mean"][metric], turned["comparison"]["mean"][metric]
        assert one["difference"] == pytest.approx(found["mean"][metric] - found["against"]["mean"][metric])
        assert one["difference"] == pytest.approx(-other_way["difference"])
        assert one["p"] == pytest.approx(other_way["p"], abs=0.03)
    assert found["comparison"]["mean"]["auroc"]["p"] == pytest.approx(1 / 10_001)
    assert found["comparison"]["mean"]["auroc"]["interval"][0] > 0
    line = table(tmp_path / "out" / "comparison.csv")[-1]
    assert float(line["AUROC difference"]) == pytest.approx(
        found["comparison"]["mean"]["auroc"]["difference"], abs=1e-6
    )


def test_the_tables_fit_80_columns(
    run: Command, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    scores, other = write_scores(tmp_path / "a.npz", labels), write_scores(tmp_path / "b.npz", labels, seed=1)
    for extra in ((), ("--against", other)):
        done = run("evaluate", "detection", "--scores", scores, "--labels", labels, *extra)
        assert done.code == 0, done.err
        assert max(map(len, done.out.splitlines())) <= 80
        assert "Scored: 108 volumes of 54 studies and 54 patients" in done.out
        assert "drawn by seed 0" in " ".join(done.out.split())


def archive(engine: Engine, encoder: Path, digest: str, dataset: str = "ct-rate") -> dict[str, np.ndarray]:
    """Twenty studies in a collection."""
    draw = np.random.default_rng(1)
    cases = [
        study(
            f"valid_{number}_a",
            patient=f"valid_{number}",
            dataset=dataset,
            labels={name: bool(draw.random() < 0.4) for name in ABNORMALITIES},
        )
        for number in range(20)
    ]
    volumes = {v.name: draw.standard_normal(LATENT_DIM) for case in cases for v in case.volumes}
    fill(
        engine,
        cases,
        volumes=volumes,
        collection="chest",
        encoder=str(encoder),
        encoder_digest=digest,
        dim=LATENT_DIM,
    )
    return volumes


def test_a_collection_is_scored_zero_shot_by_every_prompt_pair_as_score_scores_a_case(
    run: Command, engine: Engine, tmp_path: Path
) -> None:
    card = write_tiny_model(tmp_path / "tiny")
    volumes = archive(engine, card.directory, card.digest)
    out = tmp_path / "out"
    asked = ("evaluate", "detection", "--collection", "chest", "--json", "--threshold-share", 0.4)
    done = run(*asked, "--out", out)
    assert done.code == 0, done.err
    found = done.json
    assert list(found["prompts"]) == list(PROMPTS)
    default = [name for name, of in found["prompts"].items() if of["default"]]
    assert default == ["is present"]
    assert found["prompts"]["is present"]["mean"] == {
        name: found["mean"][name] for name in (*METRICS, "interval")
    }
    assert found["prompts"]["name"]["mean"]["auroc"] != found["mean"]["auroc"]
    score = {
        name: list(run("score", "--case", name, "--json").json["abnormalities"].values())
        for name in sorted(volumes)[:12]
    }
    scores = tmp_path / "scores.npz"
    np.savez(scores, name=np.array(list(score)), score=np.array(list(score.values())))
    same = run(*asked, "--against", scores).json["comparison"]["mean"]["auroc"]
    assert same["difference"] == pytest.approx(0, abs=0.01)  # `score` rounds to six digits
    for picture in ("roc_curves", "confusion_matrices", "tsne_findings"):
        assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    assert [row["Present"] for row in table(out / "prompts.csv")] == [
        pair.present for pair in PROMPTS.values()
    ]
    against_itself = run(*asked, "--against", "chest").json["comparison"]
    for of in (*against_itself["findings"].values(), against_itself["mean"]):
        assert {(of[metric]["difference"], of[metric]["p"]) for metric in METRICS} <= {
            (0.0, 1.0),
            (None, None),
        }


def test_figures_of_phantoms_are_called_so(run: Command, engine: Engine, tmp_path: Path) -> None:
    card = write_tiny_model(tmp_path / "tiny")
    archive(engine, card.directory, card.digest, dataset="phantom")
    done = run("evaluate", "detection", "--collection", "chest")
    assert done.out.startswith("phantom collection chest")
    assert "say nothing of patients" in done.out
    assert run("evaluate", "detection", "--collection", "chest", "--json").json["pool"]["phantom"] is True


def test_labels_of_a_collection_that_are_not_known_count_nowhere(
    run: Command, engine: Engine, tmp_path: Path
) -> None:
    card = write_tiny_model(tmp_path / "tiny")
    draw = np.random.default_rng(0)
    cases = [
        study(
            f"valid_{n}_a", labels={"Emphysema": n % 2 == 0} | ({"Atelectasis": n % 4 == 0} if n < 8 else {})
        )
        for n in range(16)
    ]
    volumes = {v.name: draw.standard_normal(LATENT_DIM) for case in cases for v in case.volumes}
    fill(
        engine,
        cases,
        volumes=volumes,
        encoder=str(card.directory),
        encoder_digest=card.digest,
        dim=LATENT_DIM,
    )
    found = run("evaluate", "detection", "--collection", "default", "--json").json
    assert set(found["findings"]) == {"Emphysema", "Atelectasis"}
    assert found["findings"]["Emphysema"]["volumes"] == 28  # two of 16 patients choose thresholds
    assert found["findings"]["Atelectasis"]["volumes"] <= 16
