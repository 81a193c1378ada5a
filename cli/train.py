"""`ctsearch train`: fit models; each run is a named function of training.runs, so that it can be repeated."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import train_chat, train_supervised
from cli.phantom_figures import phantom_figures
from cli.training_options import OutOption, RunOption, TrainingOptions, say_written, with_training_options


class Sections(StrEnum):
    """What of a report is read."""

    BOTH = "both"
    FINDINGS = "findings"
    IMPRESSION = "impression"


class Frozen(StrEnum):
    """What does not learn."""

    NOTHING = "nothing"
    TOWERS = "towers"
    VOLUME = "volume_tower"
    REPORT = "report_tower"


class Part(StrEnum):
    """What a run can do without."""

    SHORT_TEXTS = "short-texts"
    PROMPTS = "prompts"
    MUON = "muon"
    SHIFTS = "shifts"
    WARM_UP = "warm-up"
    EQUAL_REPORTS = "equal-reports-match"
    ALL_NEGATIVES = "all-negatives"


app = typer.Typer(help="Train models.", no_args_is_help=True, rich_markup_mode=None)
app.command("vocabfine")(train_supervised.vocabfine)
app.command("classfine")(train_supervised.classfine)
app.command("ct-net")(train_supervised.ct_net)
app.command("chat-align")(train_chat.chat_align)
app.command("chat-instruct")(train_chat.chat_instruct)
app.command("phantom-figures")(phantom_figures)


@app.callback()
def train() -> None:
    """Train models; each run is named, and the same run gives the same model."""


@app.command()
@with_training_options
def contrastive(
    run: RunOption,
    out: OutOption,
    options: TrainingOptions,
    init: Annotated[
        Path | None, typer.Option(help="A model's directory to start from; default: random weights.")
    ] = None,
    text_encoder: Annotated[
        Path | None, typer.Option(help="A BERT's folder, with vocab.txt, for the report tower to start from.")
    ] = None,
    sections: Annotated[Sections | None, typer.Option(help="Of the report.")] = None,
    freeze: Annotated[Frozen | None, typer.Option(help="What does not learn; projections always do.")] = None,
    without: Annotated[
        list[Part] | None, typer.Option(help="Leave a part of the run out; may be given again.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of the optimisers.")] = None,
    recompute: Annotated[
        bool | None, typer.Option("--recompute/--no-recompute", help="Save memory for a third more time.")
    ] = None,
    reports: Annotated[Path | None, typer.Option(help="Report table.")] = None,
) -> None:
    """Train both towers on pairs of volumes and reports; under torchrun on several devices at once.

    Runs: published, ct-clip, ct-clip-plus, phantom, phantom-published.
    """
    from training.contrastive_runs import contrastive_run, without_parts
    from training.runs import changed
    from training.train_contrastive import train_contrastive

    chosen = changed(
        without_parts(contrastive_run(run), [part.value for part in without or []]),
        **options.changes(),
        sections=sections.value if sections else None,
        frozen=freeze.value if freeze else None,
        steps=steps,
        recompute=recompute,
    )
    around = options.around_the_run(init=init, text_encoder=text_encoder, reports=reports)
    with options.place() as place:
        say_written(train_contrastive(chosen, out, place, around), place)


@app.command("report-labels")
def report_labels(
    reports: Annotated[Path, typer.Option(help="CSV: a name, a report, and the 18 labels as 0/1.")],
    out: Annotated[Path, typer.Option(help="Where the extractor's directory is written.")],
    run: Annotated[
        str, typer.Option(help="sentences (seconds, no download) or radbert (fine-tunes an encoder).")
    ] = "sentences",
    init: Annotated[
        Path | None, typer.Option(help="Directory of the text encoder to fine-tune; default: the run's.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where an encoder is fine-tuned: cpu, cuda …")] = "cpu",
    folds: Annotated[
        int, typer.Option(min=0, help="Cross-validate first, in so many folds, and print F1; 0: do not.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0,
) -> None:
    """Fit an extractor that reads the 18 abnormalities from reports."""
    from cli.progress import indexing_progress
    from encoders.abnormalities import ABNORMALITIES
    from encoders.errors import ConfigError
    from training.label_runs import TransformerLabelRun, named_label_run
    from training.report_labels import train_report_labels, validate_report_labels, with_base

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = with_base(named_label_run(run), init)
    if folds == 1:
        raise ConfigError("found --folds 1, which leaves no report to fit to; give 2 or more")
    if folds:
        scores = validate_report_labels(chosen, reports, folds=folds, seed=seed)
        for name, f1 in zip(ABNORMALITIES, scores.f1_C, strict=True):
            typer.echo(f"{name:<36}{f1:.3f}")
        typer.echo(f"{'support-weighted F1':<36}{scores.weighted_f1:.3f}  {folds} folds of seed {seed}")
    total = chosen.epochs if isinstance(chosen, TransformerLabelRun) else len(ABNORMALITIES)
    with indexing_progress() as progress:
        card = train_report_labels(
            chosen,
            reports,
            out,
            device=device,
            told=lambda done: progress.update(done=done, total=total, failed=0, step="fitting"),
        )
    typer.echo(f"wrote {card.directory} ({card.digest[:12]}), {card.source}")
