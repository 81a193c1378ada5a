"""The `ctsearch` command: its groups, and how every error leaves it."""

import sys

import click
import typer

from cli import cases, collections, db, index, models, score, search, train
from encoders.errors import CtsearchError

INTERRUPTED = 130  # 128 + SIGINT, as shells count

app = typer.Typer(
    name="ctsearch",
    help="Find similar past chest CTs by volume, by report or by a sentence. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("score")(score.score)
app.add_typer(cases.app, name="cases")
app.add_typer(collections.app, name="collections")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command line; a `CtsearchError` leaves as one sentence and its exit code."""
    try:
        app()
    except CtsearchError as error:
        click.echo(f"ctsearch: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("ctsearch: interrupted; what was finished is kept", err=True)
        sys.exit(INTERRUPTED)
