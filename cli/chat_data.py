"""`ctsearch chat-data`: questions and answers from reports, as training data of a chat model."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.index import SOME_FAILED, Format

if TYPE_CHECKING:
    from chat.vqa_set import SetSummary


def chat_data(
    source: Annotated[
        str | None,
        typer.Argument(help="A folder with reports, or N[:SEED] phantoms; none for articles alone."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="JSON", help="The set to write, in LLaVA's format.")],
    layout: Annotated[Format, typer.Option("--format", help="How the source is laid out.")] = Format.AUTO,
    reports: Annotated[Path | None, typer.Option(help="Report table.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label table; what it contradicts is not asked.")
    ] = None,
    metadata: Annotated[Path | None, typer.Option(help="Metadata table, one row a volume.")] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="The source is declared anonymous already: names are kept.")
    ] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="By rule: presence, location, abnormality, disorder, choice, report; by the server of "
            "CTSEARCH_OPENAI_URL: conversation, description, free-response. Repeat; else all by rule.",
        ),
    ] = None,
    articles: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Text files or folders for questions without a volume; server."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Studies to read at most.")] = None,
    go_on: Annotated[
        bool,
        typer.Option("--go-on", help="Keep what the server wrote for JSON before, and ask for the rest."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is asked and how it is put.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write questions and answers about the scans of SOURCE from their reports."""
    from chat.vqa import OF_A_REPORT, RULE_KINDS
    from chat.vqa_set import SetRequest, SetWriter
    from cli.progress import indexing_progress
    from encoders.errors import ConfigError
    from retrieval.archive_key import make_key
    from retrieval.datasets import Tables, open_source

    named = kind or (() if source is None else RULE_KINDS)
    known = (*RULE_KINDS, *OF_A_REPORT)
    for one in named:
        if one not in known:
            raise ConfigError(f"{one} is no kind of question: take {', '.join(known)}")
    if source is None and (named or not articles):
        raise ConfigError("questions come from a source with reports, or from --articles: give one of them")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ConfigError(f"found --out {out}, which is no file in a folder that exists: name one")
    request = SetRequest(
        by_rule=tuple(one for one in RULE_KINDS if one in named),
        by_server=tuple(one for one in OF_A_REPORT if one in named),
        articles=tuple(articles or ()),
        limit=limit,
        seed=seed,
        go_on=go_on,
    )
    writer = SetWriter(request, out)
    if writer.sends_to is not None:
        what = "reports" if request.by_server else "articles"
        typer.echo(f"{what} are sent to {writer.sends_to}: they leave this machine", err=True)
    tables = Tables(reports=reports, labels=labels, metadata=metadata)
    opened = None
    if source is not None:
        key = None if anonymous else make_key()
        opened = open_source(source, format=layout.value, tables=tables, anonymous=anonymous, key=key)
    with indexing_progress() as progress:
        summary = writer.write(opened, progress)
    for warning in () if opened is None else opened.warnings:
        typer.echo(f"warning: {warning}", err=True)
    _tell(summary, out, as_json=as_json)


def _tell(summary: "SetSummary", out: Path, *, as_json: bool) -> None:
    from chat.backends import BackendError

    for entry in summary.unreadable:
        typer.echo(f"failed: {entry.item}: {entry.error}", err=True)
    if as_json:
        sys.stdout.write(json.dumps({"out": str(out), **summary.to_json()}) + "\n")
    else:
        counts = ", ".join(f"{name} {count}" for name, count in summary.entries.items()) or "nothing"
        studies = f"{summary.studies} studies, {summary.without_report} of them without a report"
        typer.echo(f"{out}: {counts}; from {studies}")
        for reason, count in summary.rejected.most_common():
            typer.echo(f"rejected: {count} × {reason}")
    if summary.gave_up is not None:
        raise BackendError(f"{summary.gave_up}; what was made is in {out}, and --go-on asks for the rest")
    if summary.unreadable:
        raise typer.Exit(SOME_FAILED)
