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
