"""A whole contrastive run: vocabulary, phantoms, training, and the model's directory."""

import logging
from dataclasses import replace
from pathlib import Path

import torch

from encoders.checkpoints import Weights
from encoders.ct_clip import CtClip
from encoders.errors import ConfigError
from encoders.model_card import ModelCard
from encoders.model_directory import write_model
from encoders.reports import ReportTokenizer
from retrieval.datasets.phantom import phantom_report
from training.data import PhantomPairs, batches, prompt_tokens
from training.loop import train
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
    pairs = PhantomPairs(run.patients, run.data_seed, run.model.volume.grid)
    stream = batches(
        pairs,
        tokenizer,
        batch_size=run.batch_size,
        max_tokens=report.max_tokens,
        seed=run.seed,
        workers=workers,
    )
    train(model, stream, prompt_tokens(tokenizer, report.max_tokens), run)
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    return write_model(
        out, Weights(model.config, tensors), tokenizer=tokenizer, source=f"trained on {run.patients} phantoms"
    )


def phantom_vocabulary(run: ContrastiveRun) -> ReportTokenizer:
    """The tokeniser learnt from the reports of the run's phantoms."""
    if run.model.report is None:
        raise ConfigError("a contrastive run needs a report tower; give the run's model one")
    count = min(run.patients, _REPORTS_FOR_VOCABULARY)
    texts = [phantom_report(run.data_seed, patient) for patient in range(1, count + 1)]
    return learn_vocabulary(texts, run.model.report.vocabulary)
