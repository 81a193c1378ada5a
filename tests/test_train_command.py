"""`ctsearch train contrastive` as a person runs it, alone and under torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from encoders.encoder import load_encoder
from retrieval.datasets.phantom import TRAINING_SEEDS
from tests.command import Command
from tests.tiny_model import write_tiny_model

SEED = TRAINING_SEEDS.start


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "home"))
    return Command(capsys, monkeypatch)


def options(tmp_path: Path, out: str = "out", data: str = f"6:{SEED}", **more: object) -> list[object]:
    chosen = {"run": "phantom", "init": tmp_path / "tiny", "data": data, "out": tmp_path / out, **more}
    chosen = {"steps": 2, "batch-size": 4, "log-every": 1, "workers": 0, "device": "cpu", **chosen}
    return [word for name, value in chosen.items() for word in (f"--{name}", value)]


def test_a_run_starts_from_a_model_writes_one_and_keeps_volumes(command: Command, tmp_path: Path) -> None:
    start = write_tiny_model(tmp_path / "tiny")
    finished = command(
        "train", "contrastive", *options(tmp_path, **{"data-share": 80, "sections": "impression"})
    )
    assert finished.code == 0, finished.err
    assert f"wrote {tmp_path / 'out'}" in finished.out
    encoder = load_encoder(tmp_path / "out")
    assert encoder.digest != start.digest
    assert encoder.grid == load_encoder(start.directory).grid
    lines = [json.loads(line) for line in (tmp_path / "out.training" / "log.jsonl").open()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert list((tmp_path / "home" / "volumes").rglob("*.hu"))

    again = command("train", "contrastive", *options(tmp_path))
    assert (again.code, "exists already" in again.err) == (2, True)
    other = command("train", "contrastive", *options(tmp_path, seed=1), "--resume")
    assert other.code == 2
    assert "is of a run with" in other.err


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"run": "phantoms"}, "which is no run of contrastive training"),
        ({"data": "6:7"}, "not among those that training draws from"),
        ({"data": "no-such-folder"}, "no-such-folder"),
        ({"init": "no-model"}, "no model directory"),
        ({"batch-size": 400}, "do not fill a batch of 400"),
        ({"device": "tpu"}, "take another --device"),
        ({"data-share": 0}, "share of 0 of the data"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    command: Command, tmp_path: Path, wrong: dict[str, object], reason: str
) -> None:
    write_tiny_model(tmp_path / "tiny")
    finished = command("train", "contrastive", *options(tmp_path, **wrong))
    assert (finished.code, finished.out) == (2, "")
    assert reason in finished.err
    assert finished.err.strip().splitlines()[-1].startswith("ctsearch: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # starts processes
def test_torchrun_gives_the_model_of_one_process(command: Command, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    more = {"held-out": f"4:{SEED + 1}", "chunk-size": 1}
    assert command("train", "contrastive", *options(tmp_path, "alone", **more)).code == 0
    words = options(tmp_path, "together", **more, sharding="fsdp")
    together = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--",
         "cli.main", "train", "contrastive", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert together.returncode == 0, together.stderr[-4000:]
    assert together.stdout.count("wrote") == 1
    text = ["A nodule in the left lobe."]
    alone, divided = (load_encoder(tmp_path / name).encode_reports(text) for name in ("alone", "together"))
    torch.testing.assert_close(alone, divided, atol=1e-3, rtol=0.0)
    figures = [
        {
            k: v
            for line in (tmp_path / f"{name}.training" / "log.jsonl").open()
            for k, v in json.loads(line).items()
        }
        for name in ("alone", "together")
    ]
    assert "evaluation/recall_5" in figures[0]
    for name in ("loss", "evaluation/recall_5", "evaluation/recall_10", "evaluation/zero_shot_auroc"):
        assert figures[0][name] == pytest.approx(figures[1][name], abs=0.02), name
