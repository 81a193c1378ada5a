"""`ctsearch train vocabfine|classfine|ct-net`: models that learn the 18 findings from labels."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.training_options import OutOption, RunOption, TrainingOptions, say_written, with_training_options


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


InitOption = Annotated[
    Path | None, typer.Option(help="The CT-CLIP to fine-tune: a name or a directory; default: the run's.")
]
AlphaOption = Annotated[
    list[float] | None,
    typer.Option(
        "--wise-ft",
        metavar="ALPHA",
        help="Also write OUT-alphaA: so far from the old weights to the new; may be given again.",
    ),
]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Passes over the data.")]
RateOption = Annotated[float | None, typer.Option(min=0, help="Learning rate at its peak.")]
RecomputeOption = Annotated[
    bool | None, typer.Option("--recompute/--no-recompute", help="Save memory for a third more time.")
]


@with_training_options
def vocabfine(
    run: RunOption,
    out: OutOption,
    options: TrainingOptions,
    init: InitOption = None,
    loss: Annotated[Loss | None, typer.Option(help="The paper's (bce) or the published script's.")] = None,
    trains: Annotated[VocabFineTrains | None, typer.Option(help="What learns.")] = None,
    wise_ft: AlphaOption = None,
    epochs: EpochsOption = None,
    rate: RateOption = None,
    recompute: RecomputeOption = None,
) -> None:
    """Fine-tune a CT-CLIP on the words of the 18 findings (VocabFine); runs: published, phantom."""
    from training.runs import changed, choose_run
    from training.supervised_runs import VOCABFINE_RUNS
    from training.train_supervised import train_vocabfine

    chosen = changed(
        choose_run(VOCABFINE_RUNS, run, "VocabFine"),
        **options.changes(),
        loss=None if loss is None else loss.value,
        trains=None if trains is None else trains.value,
        epochs=epochs,
        peak_rate=rate,
        recompute=recompute,
    )
    with options.place() as place:
        card = train_vocabfine(chosen, out, place, options.around_the_run(init=init), wise_ft or ())
        say_written(card, place)


@with_training_options
def classfine(
    run: RunOption,
    out: OutOption,
    options: TrainingOptions,
    init: InitOption = None,
    trains: Annotated[ClassFineTrains | None, typer.Option(help="What learns.")] = None,
    wise_ft: AlphaOption = None,
    epochs: EpochsOption = None,
    rate: RateOption = None,
    recompute: RecomputeOption = None,
) -> None:
    """Fit a head for the 18 findings to a CT-CLIP's volume latents (ClassFine); runs: published, phantom."""
    from training.runs import changed, choose_run
    from training.supervised_runs import CLASSFINE_RUNS
    from training.train_supervised import train_classfine

    chosen = changed(
        choose_run(CLASSFINE_RUNS, run, "ClassFine"),
        **options.changes(),
        trains=None if trains is None else trains.value,
        epochs=epochs,
        peak_rate=rate,
        recompute=recompute,
    )
    with options.place() as place:
        card = train_classfine(chosen, out, place, options.around_the_run(init=init), wise_ft or ())
        say_written(card, place)


@with_training_options
def ct_net(
    run: RunOption,
    out: OutOption,
    options: TrainingOptions,
    init: Annotated[
        Path | None,
        typer.Option(help="A CT-Net's directory, or torchvision's resnet18 file with ImageNet's weights."),
    ] = None,
    epochs: EpochsOption = None,
    rate: RateOption = None,
) -> None:
    """Train a CT-Net, the supervised baseline that reads no text; runs: published, phantom."""
    from training.runs import changed, choose_run
    from training.supervised_runs import CT_NET_RUNS
    from training.train_supervised import train_ct_net

    chosen = changed(
        choose_run(CT_NET_RUNS, run, "CT-Net"), **options.changes(), epochs=epochs, peak_rate=rate
    )
    with options.place() as place:
        card = train_ct_net(chosen, out, place, options.around_the_run(init=init))
        say_written(card, place)
