"""The loop: a run that is killed goes on as if it had not been; what goes wrong leaves a checkpoint."""

import json
import os
import re
import resource
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders.errors import CheckpointError, ConfigError, CtsearchError, DatasetError, StorageError
from tests.processes import finish_all, together
from tests.small_training import LineObjective, Points, collate, fit_line, line_run
from training.checkpoint import CHECKPOINT_FILE
from training.distributed import Place
from training.optimizers import Optimizers
from training.progress import LOG_FILE, MISSING_FILE
from training.stream import Stream

TIMES = ("memory_gb", "volumes_per_second", "seconds_left")


def curve(folder: Path) -> list[dict[str, float]]:
    """The log without what the clock decides."""
    lines = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def kept(folder: Path) -> dict:
    saved: dict = torch.load(folder / CHECKPOINT_FILE, weights_only=True)
    return saved


def assert_same_bits(found: Any, expected: Any, where: str = "") -> None:
    assert type(found) is type(expected), where
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name, value in expected.items():
            assert_same_bits(found[name], value, f"{where} {name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            assert_same_bits(found[number], value, f"{where} {number}")
    else:
        assert found == expected, where


# --- going on ---------------------------------------------------------------------------------------------


def kill_after(line: str, processes: list[subprocess.Popen[str]]) -> None:
    """Read the first process's log up to a line, and kill all."""
    assert processes[0].stdout is not None
    for said in processes[0].stdout:
        if said.startswith(line):
            break
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize(("count", "sharding"), [(1, "ddp"), (2, "fsdp")])
def test_a_run_that_was_killed_goes_on_to_the_same_last_bit(
    tmp_path: Path, count: int, sharding: str
) -> None:
    steps = 14
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = ("tests.small_contrastive", killed, "--fit", sharding, steps)
    kill_after("step 7 of", together(count, *command))
    assert kept(killed)["step"] == 6  # saved every second step; whatever came after is lost
    finish_all(together(count, *command))
    finish_all(together(count, "tests.small_contrastive", whole, "--fit", sharding, steps))
    assert curve(killed) == curve(whole)
    assert [line["step"] for line in curve(whole)] == list(range(1, steps + 1))
    assert [line["missing"] for line in curve(whole)][::13] == [0, 1]
    assert_same_bits(kept(killed), kept(whole))


def test_another_training_is_refused_and_a_finished_one_is_left_as_it_is(tmp_path: Path) -> None:
    fit_line(tmp_path, line_run())
    before = kept(tmp_path)
    with pytest.raises(CheckpointError, match="--resume"):
        fit_line(tmp_path, line_run())
    with pytest.raises(CheckpointError, match="seed 0, this one has 1"):
        fit_line(tmp_path, line_run(seed=1), resume=True)
    with pytest.raises(CheckpointError, match="examples"):
        fit_line(tmp_path, line_run(), points=Points(count=190), resume=True)
    with pytest.raises(CheckpointError, match="another model: bias"):
        fit_line(tmp_path, line_run(), model=torch.nn.Linear(1, 2), resume=True)
    fit_line(tmp_path, line_run(log_every=7), resume=True)
    assert_same_bits(kept(tmp_path), before)


@pytest.mark.parametrize("content", [b"", b"half a zip", b"PK\x03\x04 nothing more"])
def test_a_damaged_checkpoint_is_told_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        fit_line(tmp_path, line_run(), resume=True)


# --- what goes wrong --------------------------------------------------------------------------------------


def test_a_gradient_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CtsearchError, match="gradient of the line is not finite at step 25"):
        fit_line(tmp_path, line_run(), poisoned=24)
    assert kept(tmp_path)["step"] == 20
    assert all(torch.isfinite(weight).all() for weight in kept(tmp_path)["model"].values())
    fit_line(tmp_path, line_run(), resume=True)
    fit_line(tmp_path / "whole", line_run())
    assert_same_bits(kept(tmp_path), kept(tmp_path / "whole"))


@pytest.mark.parametrize("steps", [15, 30])
def test_without_room_the_checkpoint_of_before_is_kept(tmp_path: Path, steps: int) -> None:
    """Files may not grow beyond a limit that the small first checkpoint fits and a larger one does not."""
    fit_line(tmp_path, line_run())
    before = kept(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / CHECKPOINT_FILE).stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(StorageError, match="make room"):
            fit_line(tmp_path / "new", line_run(steps=steps))
        (tmp_path / CHECKPOINT_FILE).rename(tmp_path / "new" / CHECKPOINT_FILE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_same_bits(kept(tmp_path / "new"), before)
    assert not [path for path in (tmp_path / "new").iterdir() if path.name.startswith(".")]


def test_what_cannot_be_read_is_left_out_counted_and_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = line_run(steps=40, log_every=20)  # two epochs
    with caplog.at_level("WARNING"):
        model = fit_line(tmp_path, run, points=Points(frozenset({7, 150})))
    assert (tmp_path / MISSING_FILE).read_text().count("is torn") == 2
    assert sum("left out point_" in record.getMessage() for record in caplog.records) == 2
    assert curve(tmp_path)[-1]["missing"] == 2
    assert kept(tmp_path)["missing"] == [7, 150]
    assert torch.isfinite(model.weight).all()


def test_more_than_one_per_cent_missing_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"3 of 200 volumes cannot be read, more than 1%.*missing\.csv"):
        fit_line(tmp_path, line_run(), points=Points(frozenset({7, 50, 150})))


@pytest.mark.slow  # starts processes
def test_what_two_processes_miss_counts_together_and_stops_both(tmp_path: Path) -> None:
    """Neither misses more than 1 % by itself at first; the one that reads nothing bad stops too."""
    said = finish_all(together(2, "tests.small_training", tmp_path))
    for words in said:
        assert "stopped: 3 of 200 volumes cannot be read, more than 1%" in words
    assert (tmp_path / MISSING_FILE).read_text().count("is torn") == 3


def test_a_log_line_says_how_it_goes_and_tensorboard_reads_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with caplog.at_level("INFO"):
        fit_line(tmp_path, line_run(log_every=10, evaluate_every=30))
    lines = [record.getMessage() for record in caplog.records if "loss" in record.getMessage()]
    number = r"[\d.e+-]+"
    said = (
        rf"step 10 of 30: loss {number}, rate {number}, gradient {number}, {number} GB, "
        rf"{number} volumes/s, \d+ s left"
    )
    assert re.fullmatch(said, lines[0])
    assert lines[-1].endswith(", 0 s left")
    drawn = events.EventAccumulator(str(tmp_path / "tensorboard"))
    drawn.Reload()
    losses = [line["loss"] for line in curve(tmp_path) if "loss" in line]
    assert [event.value for event in drawn.Scalars("loss")] == pytest.approx(losses)
    assert [event.step for event in drawn.Scalars("evaluation/slope")] == [30]


# --- order, optimisers ------------------------------------------------------------------------------------


def stream(processes: int = 1, rank: int = 0, workers: int = 0, **options) -> Stream:
    place = Place(rank=rank, processes=processes)
    options = {"batch_size": 12, "seed": 3, **options}
    return Stream(Points(count=50), collate, place=place, workers=workers, **options)


def test_the_order_is_that_of_the_seed_whatever_the_number_of_processes() -> None:
    alone = [share.batch for share in stream().shares(0, 6)]
    for processes in (2, 4):
        apart = [[s.batch for s in stream(processes, rank).shares(0, 6)] for rank in range(processes)]
        for step, batch in enumerate(alone):
            assert torch.equal(torch.cat([of_rank[step] for of_rank in apart]), batch)
    others = [share.batch for share in stream(seed=4).shares(0, 6)]
    assert not torch.equal(others[0], alone[0])
    later = [share.batch for share in stream(workers=2).shares(4, 6)]
    assert all(torch.equal(one, other) for one, other in zip(later, alone[4:], strict=True))


def test_an_epoch_holds_each_example_once_at_most_and_the_next_another_order() -> None:
    slots = [slot for step in range(8) for slot in stream().slots(step)]
    counts = Counter(slots)
    assert set(counts.values()) == {1}
    assert Counter(epoch for epoch, _ in slots) == {0: 48, 1: 48}
    assert [index for epoch, index in slots if epoch == 0] != [index for epoch, index in slots if epoch == 1]


def test_a_batch_that_does_not_come_out_even_is_refused() -> None:
    with pytest.raises(ConfigError, match="divided among 5 processes"):
        stream(processes=5)
    with pytest.raises(ConfigError, match="do not fill a batch"):
        stream(batch_size=51)


def test_gradients_are_scaled_to_the_longest_allowed() -> None:
    objective = LineObjective()
    optimizers = Optimizers(objective.parameter_groups())
    objective.model.weight.grad, objective.model.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    norm = optimizers.gradient_norm(Place(), 0)
    assert norm == pytest.approx(5.0)
    optimizers.step(1.0 / norm)
    assert objective.model.weight.grad.item() == pytest.approx(0.6)
