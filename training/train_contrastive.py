"""A whole contrastive training: data, the model to start from, the loop, and the model's directory."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from encoders.checkpoints import Weights
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import ModelCard, read_card
from encoders.model_directory import write_model
from training.batches import PairCollation, prompt_tokens
from training.checkpoint import whole_tensors
from training.contrastive_objective import ContrastiveObjective
from training.contrastive_runs import ContrastiveRun
from training.distributed import Place, wait_for_all
from training.examples import Example, PairExamples, SourceOptions, open_training_source, read_examples
from training.held_out import HeldOut
from training.loop import fit
from training.starting_model import Start, model_of, starting_model
from training.stream import Stream
from training.volume_cache import VolumeCache

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What does not change the result of a run, and where it starts.

    Attributes:
        cache: folder of preprocessed volumes; None keeps none.
        workers: processes that read ahead beside each process of the training.
        source: how the data is read.
        held_out: a source that the model is evaluated on, of which nothing is learnt.
        init: a model's directory to start from.
        text_encoder: a BERT's directory that the report tower starts from.
        resume: go on from the last checkpoint.
    """

    cache: Path | None = None
    workers: int = 0
    source: SourceOptions = field(default_factory=SourceOptions)
    held_out: str | None = None
    init: Path | None = None
    text_encoder: Path | None = None
    resume: bool = False


def training_folder(out: Path) -> Path:
    """Where a training keeps its checkpoint and logs: beside the model that it makes."""
    return out.absolute().with_name(f"{out.name}.training")


def train_contrastive(run: ContrastiveRun, out: Path, place: Place, options: Options) -> ModelCard:
    """Train and write the model, on every process of the training alike.

    Args:
        run: every number of it; the same run gives the same model on the same machine.
        out: the model's directory, made at the end; it appears whole or not at all.
        place: this process among the others.
        options: see there.

    Raises:
        ConfigError: there is no data, or the run does not fit it.
        CheckpointError: `out` holds something else, or the checkpoint is another run's.
        DatasetError: the data is not what it is said to be, or more than 1 % of it cannot be read.
        CtsearchError: a gradient is not finite.
        StorageError: the disk is full or may not be written to.
    """
    _check_free(out, options)
    run = model_of(run, options.init)
    source = open_training_source(_data_of(run), options.source)
    examples = read_examples(
        source,
        sections=run.sections,
        share=run.data_share,
        one_per_patient=run.one_per_patient,
        seed=run.seed,
    )
    for warning in source.warnings:
        _log.info("%s", warning)
    folder = training_folder(out)
    start = starting_model(run, examples, place, folder, init=options.init, text_encoder=options.text_encoder)
    _fit(start, examples, place, folder, options)
    tensors = whole_tensors(start.model, keep=place.is_first)
    if place.is_first:
        write_model(
            out,
            Weights(start.model.config, tensors),
            tokenizer=start.tokenizer,
            source=f"contrastive training, run {run.name}, {len(examples)} volumes of {source.dataset}",
        )
    wait_for_all(place)
    return read_card(out)


def _fit(start: Start, examples: Sequence[Example], place: Place, folder: Path, options: Options) -> None:
    run, cache = start.run, VolumeCache(folder=options.cache, grid=start.run.model.volume.grid)
    collation = PairCollation(tokenizer=start.tokenizer, max_tokens=start.longest_text, grid=cache.grid)
    pairs = PairExamples(
        examples,
        cache,
        farthest_shift=run.farthest_shift,
        seed=run.seed,
        short_texts=run.short_weight > 0,
    )
    stream = Stream(
        pairs,
        collation,
        batch_size=run.batch_size,
        seed=run.seed,
        place=place,
        workers=options.workers,
    )
    held_out = None
    if options.held_out is not None:
        unseen = read_examples(open_training_source(options.held_out, options.source), sections=run.sections)
        held_out = HeldOut(PairExamples(unseen, cache, short_texts=False), collation, place)
    prompts = prompt_tokens(start.tokenizer, start.longest_text)
    objective = ContrastiveObjective(start.model, run, place, prompts, held_out)
    fit(objective, stream, run, place, folder, resume=options.resume)


def _data_of(run: ContrastiveRun) -> str:
    if run.data is None:
        raise ConfigError(f"the run {run.name} brings no data of its own: give --data")
    return run.data


def _check_free(out: Path, options: Options) -> None:
    """Refuse before a training what could not be written after it; one that is resumed may be finished."""
    if not options.resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists already: choose another --out, or delete it")
