"""What `ctsearch evaluate detection` refuses, and the sentences it does so with."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.command import Command
from tests.latents_files import write_labels
from tests.scores_files import write_scores
from tests.small_archive import fill, study
from tests.tiny_model import LATENT_DIM, write_tiny_model

SCORE = np.random.default_rng(0).standard_normal((24, 18))
NAMES = np.array([f"valid_{number}_a_{r}" for number in range(12) for r in (1, 2)])


@pytest.fixture
def run(capsys, monkeypatch) -> Command:
    return Command(capsys, monkeypatch)


def spoilt(value: float) -> np.ndarray:
    score = SCORE.copy()
    score[3, 5] = value
    return score


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"score": SCORE[:, :17]}, "float64 of shape (24, 17): scores are numbers of shape (N, 18)"),
        ({"score": SCORE[:, 0]}, "shape (24,)"),
        ({"score": SCORE.astype(str)}, "scores are numbers"),
        ({"score": SCORE[:20]}, "of shape (24,) for 20 volumes"),
        ({"score": None}, "no array score"),
        ({"name": None}, "no array name"),
        ({"score": spoilt(np.nan)}, "the scores of 1 volumes are not finite (valid_1_a_2)"),
        ({"score": spoilt(np.inf)}, "not finite (valid_1_a_2)"),
        ({"name": np.array(["valid_1_a_1", *NAMES[1:]])}, "more than once (valid_1_a_1)"),
        ({"name": np.array([f"train_{n}_a_1" for n in range(24)])}, "no row for 24 of 24 volumes"),
        ({"name": np.array([f"scan {n}" for n in range(24)])}, "no array study"),
        ({"name": NAMES, "patient": np.array(["one"] * 24)}, "one patient"),
        ({"name": NAMES[:0], "score": SCORE[:0]}, "no volume"),
        ({"name": np.array(list(NAMES), dtype=object)}, "pickled"),
    ],
)
def test_scores_that_will_not_do_are_refused_in_one_sentence(
    run: Command, tmp_path: Path, changed: dict, said: str
) -> None:
    labels = write_labels(tmp_path / "l.csv")
    scores = write_scores(tmp_path / "a.npz", labels, **{"name": NAMES, **changed})
    done = run("evaluate", "detection", "--scores", scores, "--labels", labels)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of --collection and --scores"),
        (("--scores", "{scores}"), "--labels"),
        (("--scores", "{scores}", "--labels", "{labels}", "--collection", "x"), "found both"),
        (("--collection", "x", "--labels", "{labels}"), "leave out --labels"),
        (("--scores", "{scores}", "--labels", "{labels}", "--findings", "mine"), "'mine' is none of auto"),
        (("--scores", "{scores}", "--labels", "{labels}", "--threshold-share", "1"), "--threshold-share 1.0"),
        (("--scores", "{scores}", "--labels", "{labels}", "--against", "missing.npz"), "missing.npz"),
        (("--scores", "{scores}", "--labels", "missing.csv"), "missing.csv"),
        (("--scores", "{labels}", "--labels", "{labels}"), "is not an .npz of plain arrays"),
        (
            ("--scores", "{scores}", "--labels", "{labels}", "--against", "{stranger}"),
            "no volume name in common",
        ),
    ],
)
def test_options_that_cannot_go_together_end_in_one_sentence(
    run: Command, tmp_path: Path, arguments: tuple, said: str
) -> None:
    labels = write_labels(tmp_path / "labels.csv")
    stranger = np.array([f"train_{number}_a_{r}" for number in range(12) for r in (1, 2)])
    paths = {
        "labels": labels,
        "scores": write_scores(tmp_path / "a.npz", labels),
        "stranger": write_scores(tmp_path / "b.npz", labels, name=stranger),
    }
    done = run("evaluate", "detection", *(argument.format(**paths) for argument in arguments))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_volumes_without_a_label_row_are_left_out_if_asked(run: Command, tmp_path: Path) -> None:
    whole = write_labels(tmp_path / "whole.csv")
    scores = write_scores(tmp_path / "a.npz", whole)
    labels = write_labels(tmp_path / "labels.csv", skip=2)
    arguments = ("evaluate", "detection", "--scores", scores, "--labels", labels, "--json")
    assert "no row for 4 of 24 volumes" in run(*arguments).err
    found = run(*arguments, "--skip-unlabelled")
    assert found.json["pool"]["volumes"] == 20
    assert "4 volumes without a row" in found.err


def test_labels_of_one_kind_alone_are_refused(run: Command, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv")
    scores = write_scores(tmp_path / "a.npz", labels)
    rows = labels.read_text(encoding="utf-8").splitlines()
    none = [row.split(",")[0] + ",0" * 18 for row in rows[1:]]
    labels.write_text("\n".join([rows[0], *none]), encoding="utf-8")
    done = run("evaluate", "detection", "--scores", scores, "--labels", labels)
    assert done.code == 2
    assert "no finding is known both present and absent" in done.err


@pytest.mark.parametrize("library", ["matplotlib.figure", "sklearn.manifold"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    labels = write_labels(tmp_path / "labels.csv")
    scores, out = write_scores(tmp_path / "a.npz", labels), tmp_path / "out"
    monkeypatch.setitem(sys.modules, library, None)  # as Python marks what cannot be imported
    done = run("evaluate", "detection", "--scores", scores, "--labels", labels, "--out", out)
    assert done.code == 2
    assert "pip install 'ctsearch[evaluate]'" in done.err
    assert not out.exists()
    assert run("evaluate", "detection", "--scores", scores, "--labels", labels).code == 0


@pytest.mark.usefixtures("database")
def test_a_collection_that_is_not_there_is_refused(run: Command) -> None:
    done = run("evaluate", "detection", "--collection", "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err


def test_a_collection_without_latents_or_by_an_encoder_that_reads_no_text_is_refused(
    run: Command, engine: Engine, tmp_path: Path
) -> None:
    card = write_tiny_model(tmp_path / "mute", reads_text=False)
    cases = [study(f"valid_{n}_a", labels={"Emphysema": n % 2 == 0}) for n in range(5)]
    draw = np.random.default_rng(0)
    made = {"encoder": str(card.directory), "encoder_digest": card.digest, "dim": LATENT_DIM}
    fill(engine, cases, volumes={}, collection="empty", **made)
    volumes = {v.name: draw.standard_normal(LATENT_DIM) for case in cases for v in case.volumes}
    fill(engine, cases, volumes=volumes, collection="mute", **made)
    for name, said in (("empty", "no latent of a volume"), ("mute", "has no tokeniser")):
        done = run("evaluate", "detection", "--collection", name)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert len(done.err.strip().splitlines()) == 1
