"""A whole contrastive training: data, the model to start from, the loop, and the model's directory."""

from collections.abc import Sequence
from pathlib import Path

from encoders.abnormalities import PROMPTS
from encoders.checkpoints import Weights
from encoders.model_card import ModelCard, read_card
from encoders.model_directory import write_model
from training.batches import PairCollation, prompt_tokens
from training.checkpoint import whole_tensors
from training.contrastive_objective import ContrastiveObjective
from training.contrastive_runs import ContrastiveRun
from training.distributed import Place, wait_for_all
from training.examples import Example
from training.held_out import HeldOut
from training.loop import fit
from training.starting_model import Start, model_of, starting_model
from training.volume_cache import VolumeCache
from training.whole_training import Options, check_free, data_of, held_out_of, stream_of, training_folder


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
    check_free(out, options)
    run = model_of(run, options.init)
    data = data_of(run, options, needs="report", sections=run.sections)
    folder = training_folder(out)
    start = starting_model(
        run, data.examples, place, folder, init=options.init, text_encoder=options.text_encoder
    )
    _fit(start, data.examples, place, folder, options)
    tensors = whole_tensors(start.model, keep=place.is_first)
    if place.is_first:
        write_model(
            out,
            Weights(start.model.config, tensors),
            tokenizer=start.tokenizer,
            source=f"contrastive training, run {run.name}, {len(data.examples)} volumes of {data.dataset}",
        )
    wait_for_all(place)
    return read_card(out)


def _fit(start: Start, examples: Sequence[Example], place: Place, folder: Path, options: Options) -> None:
    run, cache = start.run, VolumeCache(folder=options.cache, grid=start.run.model.volume.grid)
    collation = PairCollation(tokenizer=start.tokenizer, max_tokens=start.longest_text, grid=cache.grid)
    stream = stream_of(run, examples, collation, place, options, cache, short_texts=run.short_weight > 0)
    unseen = held_out_of(options, cache, needs="report", sections=run.sections)
    held_out = None if unseen is None else HeldOut(unseen, collation, place)
    prompts = [prompt_tokens(start.tokenizer, start.longest_text, name) for name in PROMPTS]
    objective = ContrastiveObjective(start.model, run, place, prompts, held_out)
    fit(objective, stream, run, place, folder, resume=options.resume)
