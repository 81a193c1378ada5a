"""The `ctsearch` command: its groups, and how every error leaves it."""

import sys
from io import TextIOWrapper

import typer

from cli import (
    accounts,
    ask,
    cases,
    chat_data,
    collections,
    db,
    demo,
    drr,
    evaluate,
    index,
    label,
    models,
    score,
    search,
    serve,
    train,
    worker,
)
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
app.command("label")(label.label)
app.command("ask")(ask.ask)
app.command("chat-data")(chat_data.chat_data)
app.command("drr")(drr.drr)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.add_typer(accounts.app, name="accounts")
app.add_typer(cases.app, name="cases")
app.add_typer(collections.app, name="collections")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command line; what goes wrong leaves as one sentence and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a server's locale may lack the signs that tables use
    try:
        app()
    except CtsearchError as error:
        _leave(str(error), error.exit_code)
    except OSError as error:  # a full disk, a folder that may not be written to
        _leave(f"{error.filename or 'the system'}: {error.strerror or error}", CtsearchError.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _leave("interrupted; what was finished is kept, the same command goes on from there", INTERRUPTED)
        raise


def _leave(sentence: str, code: int) -> None:
    typer.echo(f"ctsearch: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":  # as torchrun starts it: torchrun -m cli.main train …
    main()
