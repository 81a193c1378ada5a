"""`ctsearch ask --questions`: a whole set of `ctsearch chat-data` is asked, for `ctsearch evaluate chat`."""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.index import SOME_FAILED

if TYPE_CHECKING:
    from chat.choose_backend import ChosenBackend

_FAILURES_SHOWN = 10


def ask_set(
    questions: Path,
    out: Path,
    chosen: "ChosenBackend",
    *,
    collection: str | None,
    device: str,
    without_volume: bool,
    as_json: bool,
) -> None:
    """Ask every question of a set and write the answers; what an earlier run answered is kept."""
    from chat.ask_set import SetAsker
    from chat.context import open_context
    from chat.kept_answers import KeptAnswers
    from chat.question_set import read_questions
    from cli.progress import indexing_progress

    asked = tuple(read_questions(questions))
    of = {"set": sha256(questions.read_bytes()).hexdigest(), "backend": chosen.described}
    with open_context(device=device) as context:
        asker = SetAsker(context, chosen, collection=collection, without_volume=without_volume)
        kept = KeptAnswers(out, {**of, "without_volume": without_volume})
        try:
            with indexing_progress() as progress:
                summary = asker.ask(asked, kept, progress)
        finally:
            kept.close()
        kept.write(asked, whole=not summary.failed)
    for item, error in summary.failed[:_FAILURES_SHOWN]:
        typer.echo(f"failed: {item}: {error}", err=True)
    if as_json:
        sys.stdout.write(json.dumps({"out": str(out), **summary.to_json()}) + "\n")
    else:
        left_out = f", {summary.left_out} reports not asked for" if summary.left_out else ""
        typer.echo(
            f"{out}: {summary.asked} answered, {summary.kept} kept, {len(summary.failed)} failed{left_out}"
        )
    if summary.failed:
        raise typer.Exit(SOME_FAILED)
