"""`ctsearch train`: fit models; each run is a named function of training.runs, so that it can be repeated."""

import logging
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train models.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def train() -> None:
    """Train models; each run is named, and the same run gives the same model."""


@app.command()
def contrastive(
    out: Annotated[Path, typer.Option(help="Where the model's directory is written.")],
    run: Annotated[
        str, typer.Option(help="Name of the run; phantom makes the built-in phantom-tiny.")
    ] = "phantom",
    data: Annotated[
        str | None,
        typer.Option(help="N[:SEED]: patients of an epoch, and a seed that is reserved for training."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps; default: the run's.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that draw phantoms beside the training.")
    ] = 1,
) -> None:
    """Train both towers on pairs of volumes and reports."""
    from dataclasses import replace

    from training.runs import named_run, with_source
    from training.train_contrastive import train_phantom

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = with_source(named_run(run), data)
    if steps is not None:
        chosen = replace(chosen, steps=steps)
    card = train_phantom(chosen, out, workers=workers)
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
