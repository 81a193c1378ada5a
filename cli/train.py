"""`ctsearch train`: fit models; each run is a named function of training.runs, so that it can be repeated."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import train_supervised
from cli.index import Dtype, Format


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


class Sharding(StrEnum):
    """How several devices share a model."""

    DDP = "ddp"
    FSDP = "fsdp"


app = typer.Typer(help="Train models.", no_args_is_help=True, rich_markup_mode=None)
app.command("vocabfine")(train_supervised.vocabfine)
app.command("classfine")(train_supervised.classfine)
app.command("ct-net")(train_supervised.ct_net)


@app.callback()
def train() -> None:
    """Train models; each run is named, and the same run gives the same model."""


@app.command()
def contrastive(
    run: Annotated[str, typer.Option(help="published, ct-clip, ct-clip-plus, phantom or phantom-published.")],
    out: Annotated[Path, typer.Option(help="Where the model's directory is written.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder as for ctsearch index, or N[:SEED] phantom patients; default: the run's."
        ),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="A model's directory to start from; default: random weights.")
    ] = None,
    text_encoder: Annotated[
        Path | None, typer.Option(help="A BERT's folder, with vocab.txt, for the report tower to start from.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    held_out: Annotated[
        str | None, typer.Option(help="Data to evaluate on: a folder, or N[:SEED] phantom patients.")
    ] = None,
    sections: Annotated[Sections | None, typer.Option(help="Of the report.")] = None,
    data_share: Annotated[
        float | None, typer.Option(min=0, max=100, help="Per cent of the patients to learn from.")
    ] = None,
    freeze: Annotated[Frozen | None, typer.Option(help="What does not learn; projections always do.")] = None,
    without: Annotated[
        list[Part] | None, typer.Option(help="Leave a part of the run out; may be given again.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of the optimisers.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Volumes of a step, on all devices.")] = None,
    chunk_size: Annotated[
        int | None, typer.Option(min=1, help="Volumes a device keeps the graph of at once.")
    ] = None,
    recompute: Annotated[
        bool | None, typer.Option("--recompute/--no-recompute", help="Save memory for a third more time.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, order and all that is random.")] = None,
    evaluate_every: Annotated[int | None, typer.Option(min=0, help="Steps; 0 is never.")] = None,
    save_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")] = None,
    log_every: Annotated[int | None, typer.Option(min=1, help="Steps between log lines.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: a GPU if there is one.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Of matrix products.")] = Dtype.FLOAT32,
    sharding: Annotated[
        Sharding, typer.Option(help="Under torchrun: the model on every device, or divided among them.")
    ] = Sharding.DDP,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read ahead, beside each training.")] = 1,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of preprocessed volumes; default: in CTSEARCH_HOME.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep/--no-cache", help="Keep preprocessed volumes for later epochs.")
    ] = True,
    layout: Annotated[Format, typer.Option("--format", help="How the data is laid out.")] = Format.AUTO,
    reports: Annotated[Path | None, typer.Option(help="Report table.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Label table, 0/1 a finding.")] = None,
    metadata: Annotated[Path | None, typer.Option(help="Metadata table, one row a volume.")] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="The data is declared anonymous already: names are kept.")
    ] = False,
) -> None:
    """Train both towers on pairs of volumes and reports; under torchrun on several devices at once."""
    import torch

    from retrieval.database_address import home
    from retrieval.datasets import Tables
    from training.contrastive_runs import changed, contrastive_run
    from training.distributed import training_place
    from training.examples import SourceOptions
    from training.train_contrastive import Options, train_contrastive

    chosen = changed(
        contrastive_run(run),
        without=[part.value for part in without or []],
        data=data,
        sections=sections.value if sections else None,
        data_share=None if data_share is None else data_share / 100,
        frozen=freeze.value if freeze else None,
        steps=steps,
        batch_size=batch_size,
        chunk_size=chunk_size,
        recompute=recompute,
        seed=seed,
        evaluate_every=evaluate_every,
        save_every=save_every,
        log_every=log_every,
    )
    options = Options(
        cache=(cache or home() / "volumes") if keep else None,
        workers=workers,
        source=SourceOptions(
            format=layout.value,
            tables=Tables(reports=reports, labels=labels, metadata=metadata),
            anonymous=anonymous,
        ),
        held_out=held_out,
        init=init,
        text_encoder=text_encoder,
        resume=resume,
    )
    with training_place(device, getattr(torch, dtype.value), sharding.value) as place:
        logging.basicConfig(level=logging.INFO if place.is_first else logging.WARNING, format="%(message)s")
        card = train_contrastive(chosen, out, place, options)
        if place.is_first:
            typer.echo(f"wrote {card.directory} ({card.digest[:12]})")


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


@app.command("phantom-figures")
def phantom_figures(
    encoder: Annotated[str, typer.Option(help="A built-in encoder or a model's directory.")] = "phantom-tiny",
    scans: Annotated[int, typer.Option(min=20, help="Scans of each cohort.")] = 200,
    seed: Annotated[list[int] | None, typer.Option(help="Of a cohort; may be given again.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document and nothing else.")] = False,
) -> None:
    """Print how an encoder finds phantoms that it has not seen. These are never clinical figures."""
    import json
    from dataclasses import asdict

    from encoders.encoder import load_encoder
    from training.phantom_evaluation import encode_cohort, mean_figures, score_cohort

    loaded = load_encoder(encoder)
    seeds = seed or [101, 102, 103]
    cohorts = [encode_cohort(loaded, scans, number) for number in seeds]
    figures = asdict(mean_figures([score_cohort(cohort) for cohort in cohorts]))
    if as_json:
        typer.echo(json.dumps({"phantoms_only": True, "scans": scans, "seeds": seeds, "figures": figures}))
        return
    typer.echo(f"{encoder} on {scans} phantom scans each of seeds {', '.join(map(str, seeds))}; not clinical")
    for name, value in figures.items():
        typer.echo(f"{name:<22}{value:.3f}")
