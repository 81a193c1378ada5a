"""The configuration for language models too large for one device, read by those it is written for."""

import importlib.util
import json
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from accelerate.utils.deepspeed import HfDeepSpeedConfig

from training.chat_runs import published_instruct

FOLDER = Path(__file__).resolve().parents[1] / "training" / "sharding"


def test_accelerate_reads_it_and_finds_stage_three_in_bfloat16_without_offload() -> None:
    launched = load_config_from_file(str(FOLDER / "accelerate_zero3.json"))
    assert launched.distributed_type == DistributedType.DEEPSPEED
    named = FOLDER.parents[1] / launched.deepspeed_config["deepspeed_config_file"]
    read = HfDeepSpeedConfig(str(named))
    assert (read.is_zero3(), read.is_offload()) == (True, False)
    assert read.get_value("bf16.enabled") is True


def test_its_batch_and_clipping_are_those_of_the_published_run() -> None:
    launched = json.loads((FOLDER / "accelerate_zero3.json").read_text())
    zero = json.loads((FOLDER / "zero3.json").read_text())
    each = zero["train_micro_batch_size_per_gpu"] * zero["gradient_accumulation_steps"]
    assert each * launched["num_processes"] * launched["num_machines"] == published_instruct().batch_size
    assert zero["gradient_clipping"] == published_instruct().max_grad_norm
    assert zero["train_micro_batch_size_per_gpu"] == published_instruct().chunk_size


def test_deepspeed_reads_it() -> None:
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed: it is built for the GPUs it runs on")
    from deepspeed.runtime.config import DeepSpeedConfig

    read = DeepSpeedConfig(str(FOLDER / "zero3.json"))
    assert (read.zero_optimization_stage, read.train_batch_size) == (3, 16)
