"""A whole supervised training: data, the model to start from, the loop, and the model's directory."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from encoders.checkpoints import Weights
from encoders.class_head import ClassHead
from encoders.config import VolumeGrid
from encoders.ct_clip import CtClip
from encoders.ct_net import CtNet
from encoders.ct_net_config import CtNetConfig
from encoders.encoder import build_ct_net, build_model, model_directory
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import ModelCard, read_card
from encoders.model_directory import AnyWeights, CtNetWeights, read_ct_net, read_model, write_model
from encoders.reports import ReportTokenizer
from encoders.resnet import load_imagenet_weights
from encoders.weight_interpolation import check_alpha, write_interpolated
from training.checkpoint import whole_tensors
from training.distributed import Place, wait_for_all
from training.finding_losses import positive_weights
from training.held_out_findings import HeldOutFindings
from training.labelled import LabelCollation, LabelledBatch, label_rows
from training.loop import fit
from training.lora import add_lora, merged_tensors
from training.objective import Objective
from training.supervised import SupervisedObjective
from training.supervised_runs import ClassFineRun, CtNetRun, SupervisedRun, VocabFineRun, with_data_of
from training.vocabfine import VocabFineObjective
from training.volume_cache import VolumeCache
from training.whole_training import (
    Data,
    Options,
    check_free,
    data_of,
    held_out_of,
    stream_of,
    training_folder,
)

RunT = TypeVar("RunT", bound=SupervisedRun)
MakeObjective = Callable[[RunT, HeldOutFindings | None], Objective[LabelledBatch]]
_log = logging.getLogger(__name__)


def train_vocabfine(
    run: VocabFineRun, out: Path, place: Place, options: Options, alphas: Sequence[float] = ()
) -> ModelCard:
    """Fine-tune a CT-CLIP on the words of the findings and write it, on every process alike.

    Args:
        run: every number of it.
        out: the model's directory, made at the end; it appears whole or not at all.
        place: this process among the others.
        options: see there; `init`, or the run's own.
        alphas: for each, the model so far on the way from the old weights to the new is written beside `out`.

    Raises:
        ConfigError: there is no data or no model to start from, or the run does not fit them.
        CheckpointError: `out` or the model to start from will not do.
        DatasetError: the data is not what it is said to be, or more than 1 % of it cannot be read.
        CtsearchError: a gradient is not finite.
        StorageError: the disk is full or may not be written to.
    """
    card, data = _start(run, out, options, alphas)
    start, tokenizer = read_model(card), _tokenizer(card)
    if tokenizer is None:
        raise CheckpointError(
            f"{card.directory} has no tokeniser: import its checkpoint again with --tokenizer, and give that"
        )
    model = build_model(start)
    if run.trains == "lora":
        add_lora(model, rank=run.lora_rank, alpha=run.lora_alpha, seed=run.seed)

    def objective(sized: VocabFineRun, held_out: HeldOutFindings | None) -> Objective[LabelledBatch]:
        return VocabFineObjective(model, tokenizer, sized, place, held_out)

    _fit(run, data, model, objective, place, options, out)
    tensors = whole_tensors(model)
    if run.trains == "lora":
        before = build_model(read_model(card))
        tensors = merged_tensors(before, tensors, rank=run.lora_rank, alpha=run.lora_alpha)
    return _write(out, Weights(start.config, tensors), data, run, place, card, alphas)


def train_classfine(
    run: ClassFineRun, out: Path, place: Place, options: Options, alphas: Sequence[float] = ()
) -> ModelCard:
    """Fit a head to a CT-CLIP, alone or with its volume tower, and write the model.

    The report tower stays as it is: words are still compared with what has become of the volumes' latents.

    Raises:
        As for `train_vocabfine`.
    """
    card, data = _start(run, out, options, alphas)
    start = read_model(card)
    if not start.config.latent_dim:
        raise CheckpointError(f"{card.directory} is a volume encoder alone and has no latent; give a CT-CLIP")
    model = build_model(start)
    if model.class_head is None:
        _add_head(model, run)

    def objective(sized: ClassFineRun, held_out: HeldOutFindings | None) -> Objective[LabelledBatch]:
        return SupervisedObjective(model, _weights_of(data), sized, place, held_out)

    _fit(run, data, model, objective, place, options, out)
    return _write(out, Weights(model.config, whole_tensors(model)), data, run, place, card, alphas)


def train_ct_net(run: CtNetRun, out: Path, place: Place, options: Options) -> ModelCard:
    """Train a CT-Net and write it.

    `options.init` is a CT-Net's directory, or a file with ImageNet's ResNet-18 as torchvision stores it.

    Raises:
        As for `train_vocabfine`.
    """
    check_free(out, options)
    model, config = _new_net(run, options.init)
    data = data_of(run, options, needs="labels")

    def objective(sized: CtNetRun, held_out: HeldOutFindings | None) -> Objective[LabelledBatch]:
        return SupervisedObjective(model, _weights_of(data), sized, place, held_out)

    _fit(run, data, model, objective, place, options, out)
    return _write(out, CtNetWeights(config, whole_tensors(model)), data, run, place)


def _start(
    run: SupervisedRun, out: Path, options: Options, alphas: Sequence[float]
) -> tuple[ModelCard, Data]:
    for alpha in alphas:
        check_alpha(alpha)
    for directory in (out, *(_between(out, alpha) for alpha in alphas)):
        check_free(directory, options)
    init = options.init or run.init
    if init is None:
        raise ConfigError(f"the run {run.name} fine-tunes a model: give its directory with --init")
    return read_card(model_directory(init)), data_of(run, options, needs="labels")


def _fit(
    run: RunT,
    data: Data,
    model: CtClip | CtNet,
    make: "MakeObjective[RunT]",
    place: Place,
    options: Options,
    out: Path,
) -> None:
    model.to(place.device)
    grid: VolumeGrid = model.config.grid
    cache, collation = VolumeCache(folder=options.cache, grid=grid), LabelCollation(grid)
    sized = with_data_of(run, len(data.examples))
    if sized.warm_up >= sized.steps:
        _log.warning(
            "the rate rises for %d steps and there are %d: it never reaches its peak; give --epochs",
            *(sized.warm_up, sized.steps),
        )
    stream = stream_of(sized, data.examples, collation, place, options, cache)
    unseen = held_out_of(options, cache, needs="labels")
    held_out = None if unseen is None else HeldOutFindings(unseen, collation, place)
    fit(make(sized, held_out), stream, sized, place, training_folder(out), resume=options.resume)


def _write(
    out: Path,
    weights: AnyWeights,
    data: Data,
    run: SupervisedRun,
    place: Place,
    start: ModelCard | None = None,
    alphas: Sequence[float] = (),
) -> ModelCard:
    if place.is_first:
        kind = type(run).__name__.removesuffix("Run")
        source = f"{kind}, run {run.name}, {len(data.examples)} volumes of {data.dataset}"
        tokenizer = None if start is None else _tokenizer(start)
        write_model(out, weights, tokenizer=tokenizer, source=source)
        for alpha in alphas:
            if start is not None:
                write_interpolated(start.directory, out, alpha, _between(out, alpha))
    wait_for_all(place)
    return read_card(out)


def _between(out: Path, alpha: float) -> Path:
    """Where the model so far on the way to `out` is written."""
    return out.with_name(f"{out.name}-alpha{alpha:g}")


def _tokenizer(card: ModelCard) -> ReportTokenizer | None:
    return None if card.tokenizer_file is None else ReportTokenizer.from_path(card.tokenizer_file)


def _weights_of(data: Data) -> torch.Tensor:
    return positive_weights(*label_rows([one.labels for one in data.examples]))


def _add_head(model: CtClip, run: ClassFineRun) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(run.seed)
        model.class_head = ClassHead(model.config.latent_dim, run.head)
    model.config = replace(model.config, class_head=run.head)


def _new_net(run: CtNetRun, init: Path | None) -> tuple[CtNet, CtNetConfig]:
    if init is not None and not init.is_file():
        weights = read_ct_net(read_card(model_directory(init)))
        return build_ct_net(weights), weights.config
    with torch.random.fork_rng([]):
        torch.manual_seed(run.seed)
        net = CtNet(run.model)
    if init is not None:
        load_imagenet_weights(net.resnet, init)
    return net, run.model
