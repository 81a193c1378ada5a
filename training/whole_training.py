"""What every training from volumes has around its loop: where it starts, its data, what goes where."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from encoders.errors import CheckpointError, ConfigError
from training.batches import Pair
from training.distributed import Place
from training.examples import (
    Example,
    Needs,
    PairExamples,
    Sections,
    SourceOptions,
    open_training_source,
    read_examples,
)
from training.runs import VolumeRun
from training.stream import Stream
from training.volume_cache import VolumeCache

BatchT = TypeVar("BatchT")
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


@dataclass(frozen=True, slots=True)
class Data:
    """What a training learns from: volumes with what is known of them, and the data set they are of."""

    examples: Sequence[Example]
    dataset: str


def training_folder(out: Path) -> Path:
    """Where a training keeps its checkpoint and logs: beside the model that it makes."""
    return out.absolute().with_name(f"{out.name}.training")


def check_free(out: Path, options: Options) -> None:
    """Refuse before a training what could not be written after it; one that is resumed may be finished.

    Raises:
        CheckpointError: `out` holds something.
    """
    if not options.resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} exists already: choose another --out, or delete it")


def data_of(run: VolumeRun, options: Options, *, needs: Needs, sections: Sections = "both") -> Data:
    """Read what a run learns from.

    Raises:
        ConfigError: it names no data.
        DatasetError: the data is not what it is said to be, or nothing of it can be learnt from.
    """
    if run.data is None:
        raise ConfigError(f"the run {run.name} brings no data of its own: give --data")
    source = open_training_source(run.data, options.source)
    examples = read_examples(
        source,
        sections=sections,
        share=run.data_share,
        one_per_patient=run.one_per_patient,
        needs=needs,
    )
    for warning in source.warnings:
        _log.info("%s", warning)
    return Data(examples, source.dataset)


def held_out_of(
    options: Options,
    cache: VolumeCache,
    *,
    needs: Needs,
    sections: Sections = "both",
) -> PairExamples | None:
    """Read what the model is evaluated on, if there is anything.

    Raises:
        DatasetError: as for `data_of`.
    """
    if options.held_out is None:
        return None
    source = open_training_source(options.held_out, options.source)
    return PairExamples(read_examples(source, sections=sections, needs=needs), cache, short_texts=False)


def stream_of(
    run: VolumeRun,
    examples: Sequence[Example],
    collate: Callable[[Sequence[Pair | None]], BatchT],
    place: Place,
    options: Options,
    cache: VolumeCache,
    *,
    short_texts: bool = False,
) -> Stream[Pair, BatchT]:
    """Return the batches of a run, in their order."""
    pairs = PairExamples(
        examples, cache, farthest_shift=run.farthest_shift, seed=run.seed, short_texts=short_texts
    )
    return Stream(
        pairs, collate, batch_size=run.batch_size, seed=run.seed, place=place, workers=options.workers
    )
