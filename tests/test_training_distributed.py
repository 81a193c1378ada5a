"""Several processes, chunks and recomputed activations give what one process with the whole batch gives."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.processes import finish_all, together
from tests.small_contrastive import RUN, SCENARIOS, one_step
from training.contrastive_runs import ContrastiveRun
from training.distributed import Place

TOLERANCE = 1e-5


@cache
def by_one_process(run: ContrastiveRun) -> dict[str, Tensor]:
    return one_step(replace(run, chunk_size=None, recompute=False), Place())


def assert_equal_steps(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        apart = (found[name] - tensor).abs().max().item()
        assert apart <= TOLERANCE, name


@pytest.fixture(scope="module", params=[2, 4])
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    folder = tmp_path_factory.mktemp(f"of-{request.param}")
    finish_all(together(request.param, "tests.small_contrastive", folder))
    return request.param, folder


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_processes_together_take_the_step_of_one(outcomes: tuple[int, Path], scenario: str) -> None:
    count, folder = outcomes
    expected = by_one_process(SCENARIOS[scenario][1])
    for rank in range(count):
        assert_equal_steps(torch.load(folder / f"{scenario} {rank}.pt", weights_only=True), expected)


@pytest.mark.slow  # starts processes
def test_half_the_digits_change_the_step_a_little(outcomes: tuple[int, Path]) -> None:
    reference = by_one_process(RUN)
    for found in (
        one_step(RUN, Place(dtype=torch.bfloat16)),
        torch.load(outcomes[1] / "half 0.pt", weights_only=True),
    ):
        assert found["loss"] == pytest.approx(reference["loss"].item(), rel=0.05)
        name = "gradient of volume_projection.weight"
        cosine = torch.nn.functional.cosine_similarity(
            found[name].flatten(), reference[name].flatten(), dim=0
        )
        assert found[name].dtype == torch.float32
        assert cosine > 0.9


@pytest.mark.parametrize(
    "change",
    [{"chunk_size": 1}, {"chunk_size": 3}, {"recompute": True}, {"chunk_size": 3, "recompute": True}],
)
def test_chunks_and_recomputation_change_nothing(change: dict[str, int]) -> None:
    assert_equal_steps(one_step(replace(RUN, **change), Place()), by_one_process(RUN))


def test_the_step_that_is_compared_exercises_what_could_go_wrong() -> None:
    """Dropout is drawn, rows move, siblings match, and a pair counts nowhere whose volume is missing."""
    reference = by_one_process(RUN)
    undropped = replace(RUN, seed=1)  # other masks
    assert (one_step(undropped, Place())["loss"] - reference["loss"]).abs() > 100 * TOLERANCE
    unmatched = replace(RUN, equal_reports_match=False)
    assert (one_step(unmatched, Place())["loss"] - reference["loss"]).abs() > 100 * TOLERANCE
    assert reference["moved rows"].abs().max() > 100 * TOLERANCE
    tokens = 4 * 4 * 4
    assert reference["counts"].sum().item() == pytest.approx(
        0.2 * 7 * tokens, rel=1e-5
    )  # EMA from 0; one is missing
