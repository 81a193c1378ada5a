"""The built-in encoder finds phantoms that it was not trained on. No figure here is a clinical one."""

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch

import encoders
from encoders.encoder import Encoder, load_encoder
from encoders.errors import ConfigError
from retrieval.datasets.phantom import TRAINING_SEEDS
from training.contrastive_runs import phantom
from training.phantom_cohorts import phantoms_unseen

UNKNOWN_TOKEN = 1  # of the shipped tokeniser


@lru_cache(maxsize=1)
def shipped() -> Encoder:
    return load_encoder("phantom-tiny")


def test_the_shipped_files_are_small_and_those_of_the_documented_run() -> None:
    directory = Path(encoders.__file__).parent / "builtin" / "phantom-tiny"
    assert sum(path.stat().st_size for path in directory.iterdir()) <= 10_000_000
    run = phantom().model
    assert shipped().grid == run.volume.grid
    assert shipped().latent_dim == run.latent_dim


def test_the_tokeniser_spells_what_reports_of_other_hospitals_say() -> None:
    directory = Path(encoders.__file__).parent / "builtin" / "phantom-tiny"
    from encoders.reports import ReportTokenizer

    tokenizer = ReportTokenizer.from_path(directory)
    ids = tokenizer.tokenise(["Sarcoidosis with crazy paving; 7x8 mm, s/p lobectomy (1998)?"], 128).token_ids
    assert UNKNOWN_TOKEN not in ids


def test_figures_of_training_phantoms_are_refused() -> None:
    with pytest.raises(ConfigError, match="trained on"):
        phantoms_unseen(20, TRAINING_SEEDS.start)


def test_the_same_volume_gives_the_same_latent() -> None:
    volume = torch.zeros(1, 1, 48, 96, 96)
    assert torch.equal(shipped().encode_volumes(volume), shipped().encode_volumes(volume))


def test_threads_of_a_fresh_process_may_load_it_at_once() -> None:
    code = (
        "import threading; from encoders.encoder import load_encoder; loaded = []; "
        "start = threading.Barrier(4); "
        "work = lambda: (start.wait(), loaded.append(load_encoder('phantom-tiny').digest)); "
        "threads = [threading.Thread(target=work) for _ in range(4)]; "
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]; "
        "print(len(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "4", done.stderr
