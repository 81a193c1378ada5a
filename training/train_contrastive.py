"""A whole contrastive run: vocabulary, phantoms, training, and the model's directory."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from encoders.checkpoints import Weights
from encoders.ct_clip import CtClip
from encoders.errors import ConfigError, StorageError
from encoders.model_card import ModelCard
from encoders.model_directory import write_model
from encoders.reports import ReportTokenizer
from retrieval.datasets.phantom import phantom_report
from training.data import batches, prompt_tokens
from training.loop import train
from training.phantom_pairs import drawn_pairs
from training.runs import ContrastiveRun
from training.vocabulary import learn_vocabulary

_log = logging.getLogger(__name__)
_REPORTS_FOR_VOCABULARY = 2000


def train_phantom(run: ContrastiveRun, out: Path, *, workers: int = 1) -> ModelCard:
    """Train on phantoms and write the model.

    Args:
        run: every number of it; the same run gives the same model on the same machine.
        out: the model's directory, made here; it appears whole or not at all.
        workers: processes that draw phantoms; their number does not change the result.

    Raises:
        ConfigError: the run has no report tower.
        CheckpointError: `out` holds something else.
        CtsearchError: the loss stopped being finite.
        StorageError: the disk is full or may not be written to.
    """
    if run.model.report is None:
        raise ConfigError("a contrastive run needs a report tower; give the run's model one")
    torch.manual_seed(run.seed)
    tokenizer = phantom_vocabulary(run)
    report = replace(run.model.report, vocabulary=tokenizer.vocabulary)
    model = CtClip(replace(run.model, report=report))
    _log.info(
        "%d weights, a vocabulary of %d", sum(p.numel() for p in model.parameters()), tokenizer.vocabulary
    )
    draft = out.absolute().with_name(f"{out.name}.partial.safetensors")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with drawn_pairs(run.patients, run.data_seed, run.model.volume.grid, workers=workers) as pairs:
        _log.info("drew %d phantoms", len(pairs))
        stream = batches(
            pairs, tokenizer, batch_size=run.batch_size, max_tokens=report.max_tokens, seed=run.seed
        )
        prompts = prompt_tokens(tokenizer, report.max_tokens)
        train(model, stream, prompts, run, keep=partial(_keep, path=draft))
    card = write_model(
        out,
        Weights(model.config, _tensors(model)),
        tokenizer=tokenizer,
        source=f"contrastive training on {run.patients} phantoms of seed {run.data_seed}",
    )
    draft.unlink(missing_ok=True)
    return card


def _tensors(model: CtClip) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}


def _keep(model: CtClip, *, path: Path) -> None:
    """Save the weights of an unfinished training; the file is whole at any time."""
    draft = path.with_suffix(".draft")
    try:
        save_file(_tensors(model), draft)
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{path} cannot be written: {error}; free space or choose another --out"
        ) from error


def phantom_vocabulary(run: ContrastiveRun) -> ReportTokenizer:
    """The tokeniser learnt from the reports of the run's phantoms."""
    if run.model.report is None:
        raise ConfigError("a contrastive run needs a report tower; give the run's model one")
    count = min(run.patients, _REPORTS_FOR_VOCABULARY)
    texts = [phantom_report(run.data_seed, patient) for patient in range(1, count + 1)]
    return learn_vocabulary(texts, run.model.report.vocabulary)
