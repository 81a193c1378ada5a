"""`ctsearch train vocabfine|classfine|ct-net`: models that learn the 18 findings from labels."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.index import Dtype, Format

if TYPE_CHECKING:
    from encoders.model_card import ModelCard
    from training.train_contrastive import Options


class Loss(StrEnum):
    """Of VocabFine."""

    BCE = "bce"
    MSE = "mse"


class VocabFineTrains(StrEnum):
    """What of a CT-CLIP learns in VocabFine."""

    ALL = "all"
    PROJECTIONS = "projections"
    LORA = "lora"


class ClassFineTrains(StrEnum):
    """What of a CT-CLIP learns in ClassFine."""

    ALL = "all"
    HEAD = "head"


class Sharding(StrEnum):
    """How several devices share a model."""

    DDP = "ddp"
    FSDP = "fsdp"


RunOption = Annotated[str, typer.Option(help="published or phantom.")]
OutOption = Annotated[Path, typer.Option(help="Where the model's directory is written.")]
DataOption = Annotated[
    str | None,
    typer.Option(help="A folder as for ctsearch index, or N[:SEED] phantom patients; default: the run's."),
]
InitOption = Annotated[
    Path | None, typer.Option(help="The CT-CLIP to fine-tune: a name or a directory; default: the run's.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
AlphaOption = Annotated[
    list[float] | None,
    typer.Option(
        "--wise-ft",
        metavar="ALPHA",
        help="Also write OUT-alphaA: so far from the old weights to the new; may be given again.",
    ),
]
HeldOutOption = Annotated[
    str | None, typer.Option(help="Data to evaluate on: a folder, or N[:SEED] phantom patients.")
]
ShareOption = Annotated[
    float | None, typer.Option(min=0, max=100, help="Per cent of the patients to learn from.")
]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Passes over the data.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Volumes of a step, on all devices.")]
ChunkOption = Annotated[int | None, typer.Option(min=1, help="Volumes a device keeps the graph of at once.")]
RecomputeOption = Annotated[
    bool | None, typer.Option("--recompute/--no-recompute", help="Save memory for a third more time.")
]
RateOption = Annotated[float | None, typer.Option(min=0, help="Learning rate at its peak.")]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Of new weights, order and dropout.")]
EvaluateOption = Annotated[int | None, typer.Option(min=0, help="Steps between evaluations; 0 is never.")]
SaveOption = Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu or cuda; default: a GPU if there is one.")]
DtypeOption = Annotated[Dtype, typer.Option(help="Of matrix products.")]
ShardingOption = Annotated[
    Sharding, typer.Option(help="Under torchrun: the model on every device, or divided among them.")
]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that read ahead, beside each training.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder of preprocessed volumes; default: in CTSEARCH_HOME.")
]
KeepOption = Annotated[bool, typer.Option("--keep/--no-cache", help="Keep preprocessed volumes.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How the data is laid out.")]
LabelsOption = Annotated[Path | None, typer.Option(help="Label table, 0/1 a finding.")]
MetadataOption = Annotated[Path | None, typer.Option(help="Metadata table, one row a volume.")]
AnonymousOption = Annotated[
    bool, typer.Option("--anonymous", help="The data is declared anonymous already: names are kept.")
]


def vocabfine(
    run: RunOption,
    out: OutOption,
    data: DataOption = None,
    init: InitOption = None,
    resume: ResumeOption = False,
    loss: Annotated[Loss | None, typer.Option(help="The paper's (bce) or the published script's.")] = None,
    trains: Annotated[VocabFineTrains | None, typer.Option(help="What learns.")] = None,
    wise_ft: AlphaOption = None,
    held_out: HeldOutOption = None,
    data_share: ShareOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    chunk_size: ChunkOption = None,
    recompute: RecomputeOption = None,
    rate: RateOption = None,
    seed: SeedOption = None,
    evaluate_every: EvaluateOption = None,
    save_every: SaveOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = Dtype.FLOAT32,
    sharding: ShardingOption = Sharding.DDP,
    workers: WorkersOption = 1,
    cache: CacheOption = None,
    keep: KeepOption = True,
    layout: FormatOption = Format.AUTO,
    labels: LabelsOption = None,
    metadata: MetadataOption = None,
    anonymous: AnonymousOption = False,
) -> None:
    """Fine-tune a CT-CLIP on the words of the 18 findings (VocabFine)."""
    import torch

    from training.distributed import training_place
    from training.runs import choose_run
    from training.supervised_runs import VOCABFINE_RUNS, changed
    from training.train_supervised import train_vocabfine

    chosen = changed(
        choose_run(VOCABFINE_RUNS, run, "VocabFine"),
        data=data,
        loss=None if loss is None else loss.value,
        trains=None if trains is None else trains.value,
        data_share=None if data_share is None else data_share / 100,
        epochs=epochs,
        batch_size=batch_size,
        chunk_size=chunk_size,
        recompute=recompute,
        peak_rate=rate,
        seed=seed,
        evaluate_every=evaluate_every,
        save_every=save_every,
    )
    options = _options(init, resume, held_out, workers, cache, keep, layout, labels, metadata, anonymous)
    with training_place(device, getattr(torch, dtype.value), sharding.value) as place:
        _log_on(first=place.is_first)
        card = train_vocabfine(chosen, out, place, options, wise_ft or ())
        _say(card, first=place.is_first)


def classfine(
    run: RunOption,
    out: OutOption,
    data: DataOption = None,
    init: InitOption = None,
    resume: ResumeOption = False,
    trains: Annotated[ClassFineTrains | None, typer.Option(help="What learns.")] = None,
    wise_ft: AlphaOption = None,
    held_out: HeldOutOption = None,
    data_share: ShareOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    chunk_size: ChunkOption = None,
    recompute: RecomputeOption = None,
    rate: RateOption = None,
    seed: SeedOption = None,
    evaluate_every: EvaluateOption = None,
    save_every: SaveOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = Dtype.FLOAT32,
    sharding: ShardingOption = Sharding.DDP,
    workers: WorkersOption = 1,
    cache: CacheOption = None,
    keep: KeepOption = True,
    layout: FormatOption = Format.AUTO,
    labels: LabelsOption = None,
    metadata: MetadataOption = None,
    anonymous: AnonymousOption = False,
) -> None:
    """Fit a head for the 18 findings to a CT-CLIP's volume latents (ClassFine)."""
    import torch

    from training.distributed import training_place
    from training.runs import choose_run
    from training.supervised_runs import CLASSFINE_RUNS, changed
    from training.train_supervised import train_classfine

    chosen = changed(
        choose_run(CLASSFINE_RUNS, run, "ClassFine"),
        data=data,
        trains=None if trains is None else trains.value,
        data_share=None if data_share is None else data_share / 100,
        epochs=epochs,
        batch_size=batch_size,
        chunk_size=chunk_size,
        recompute=recompute,
        peak_rate=rate,
        seed=seed,
        evaluate_every=evaluate_every,
        save_every=save_every,
    )
    options = _options(init, resume, held_out, workers, cache, keep, layout, labels, metadata, anonymous)
    with training_place(device, getattr(torch, dtype.value), sharding.value) as place:
        _log_on(first=place.is_first)
        card = train_classfine(chosen, out, place, options, wise_ft or ())
        _say(card, first=place.is_first)


def ct_net(
    run: RunOption,
    out: OutOption,
    data: DataOption = None,
    init: Annotated[
        Path | None,
        typer.Option(help="A CT-Net's directory, or torchvision's resnet18 file with ImageNet's weights."),
    ] = None,
    resume: ResumeOption = False,
    held_out: HeldOutOption = None,
    data_share: ShareOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    chunk_size: ChunkOption = None,
    rate: RateOption = None,
    seed: SeedOption = None,
    evaluate_every: EvaluateOption = None,
    save_every: SaveOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = Dtype.FLOAT32,
    sharding: ShardingOption = Sharding.DDP,
    workers: WorkersOption = 1,
    cache: CacheOption = None,
    keep: KeepOption = True,
    layout: FormatOption = Format.AUTO,
    labels: LabelsOption = None,
    metadata: MetadataOption = None,
    anonymous: AnonymousOption = False,
) -> None:
    """Train a CT-Net, the supervised baseline that reads no text."""
    import torch

    from training.distributed import training_place
    from training.runs import choose_run
    from training.supervised_runs import CT_NET_RUNS, changed
    from training.train_supervised import train_ct_net

    chosen = changed(
        choose_run(CT_NET_RUNS, run, "CT-Net"),
        data=data,
        data_share=None if data_share is None else data_share / 100,
        epochs=epochs,
        batch_size=batch_size,
        chunk_size=chunk_size,
        peak_rate=rate,
        seed=seed,
        evaluate_every=evaluate_every,
        save_every=save_every,
    )
    options = _options(init, resume, held_out, workers, cache, keep, layout, labels, metadata, anonymous)
    with training_place(device, getattr(torch, dtype.value), sharding.value) as place:
        _log_on(first=place.is_first)
        card = train_ct_net(chosen, out, place, options)
        _say(card, first=place.is_first)


def _options(
    init: Path | None,
    resume: bool,
    held_out: str | None,
    workers: int,
    cache: Path | None,
    keep: bool,
    layout: Format,
    labels: Path | None,
    metadata: Path | None,
    anonymous: bool,
) -> "Options":
    from retrieval.database_address import home
    from retrieval.datasets import Tables
    from training.examples import SourceOptions
    from training.train_contrastive import Options

    return Options(
        cache=(cache or home() / "volumes") if keep else None,
        workers=workers,
        source=SourceOptions(
            format=layout.value, tables=Tables(labels=labels, metadata=metadata), anonymous=anonymous
        ),
        held_out=held_out,
        init=init,
        resume=resume,
    )


def _log_on(*, first: bool) -> None:
    logging.basicConfig(level=logging.INFO if first else logging.WARNING, format="%(message)s")


def _say(card: "ModelCard", *, first: bool) -> None:
    if first:
        typer.echo(f"wrote {card.directory} ({card.digest[:12]})")
