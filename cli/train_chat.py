"""`ctsearch train chat-align|chat-instruct`: a language model learns to tell what volumes show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.training_options import OutOption, RunOption, TrainingOptions, with_training_options

if TYPE_CHECKING:
    from training.chat_runs import ChatRun
    from training.train_chat import ChatOptions

ConversationsOption = Annotated[
    Path | None,
    typer.Option(
        help="LLaVA's JSON about the volumes of --data; default: reports are asked for, and findings."
    ),
]
EncoderOption = Annotated[
    Path | None, typer.Option(help="The CT-CLIP that shows the volumes: a name or a directory.")
]
ReportsOption = Annotated[Path | None, typer.Option(help="Report table, one row a study or volume.")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Steps, in place of whole epochs.")]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Passes over the data.")]
RateOption = Annotated[float | None, typer.Option(min=0, help="Learning rate of the projector at its peak.")]


@with_training_options
def chat_align(
    run: RunOption,
    out: OutOption,
    options: TrainingOptions,
    init: Annotated[
        Path | None,
        typer.Option(help="The language model: a directory, a .gguf file, or smollm2; default: the run's."),
    ] = None,
    encoder: EncoderOption = None,
    conversations: ConversationsOption = None,
    reports: ReportsOption = None,
    epochs: EpochsOption = None,
    steps: StepsOption = None,
    rate: RateOption = None,
) -> None:
    """Train a projector beside a frozen language model, to report on volumes; runs: published, phantom."""
    from training.chat_runs import ALIGN_RUNS
    from training.runs import changed, choose_run

    chosen = changed(
        choose_run(ALIGN_RUNS, run, "chat-align"), **options.changes(), epochs=epochs, peak_rate=rate
    )
    parts = _parts(None, encoder, conversations, steps, kept=options.keep)
    _train(chosen, out, options, parts, init, reports)


@with_training_options
def chat_instruct(
    run: RunOption,
    out: OutOption,
    options: TrainingOptions,
    init: Annotated[Path | None, typer.Option(help="The chat model that chat-align wrote.")] = None,
    base: Annotated[
        Path | None, typer.Option(help="The language model; default: the one that --init was aligned with.")
    ] = None,
    encoder: EncoderOption = None,
    conversations: ConversationsOption = None,
    reports: ReportsOption = None,
    epochs: EpochsOption = None,
    steps: StepsOption = None,
    rate: RateOption = None,
    adapter_rate: Annotated[
        float | None, typer.Option(min=0, help="Learning rate of the adapter at its peak.")
    ] = None,
) -> None:
    """Train an aligned projector with a LoRA adapter, to answer questions; runs: published, phantom."""
    from training.chat_runs import INSTRUCT_RUNS
    from training.runs import changed, choose_run

    chosen = changed(
        choose_run(INSTRUCT_RUNS, run, "chat-instruct"),
        **options.changes(),
        epochs=epochs,
        peak_rate=rate,
        adapter_rate=adapter_rate,
    )
    parts = _parts(base, encoder, conversations, steps, kept=options.keep)
    _train(chosen, out, options, parts, init, reports)


def _parts(
    base: Path | None, encoder: Path | None, conversations: Path | None, steps: int | None, *, kept: bool
) -> "ChatOptions":
    from retrieval.kept_tokens import tokens_folder
    from training.train_chat import ChatOptions

    return ChatOptions(
        base=base,
        encoder=encoder,
        conversations=conversations,
        steps=steps,
        tokens=tokens_folder() if kept else None,
    )


def _train(
    run: "ChatRun",
    out: Path,
    options: TrainingOptions,
    parts: "ChatOptions",
    init: Path | None,
    reports: Path | None,
) -> None:
    from training.train_chat import train_chat

    with options.place() as place:
        written = train_chat(run, out, place, options.around_the_run(init=init, reports=reports), parts)
        if place.is_first:
            typer.echo(f"wrote {written}")
