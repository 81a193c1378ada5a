"""`ctsearch ask`: a question about stored cases, answered with sentences of their reports."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cli.ask_set import ask_set
from cli.chat_options import (
    BackendOption,
    BaseOption,
    DtypeOption,
    EncoderOption,
    ModelOption,
    backend_from,
)
from cli.wrapped import WrappedText

if TYPE_CHECKING:
    from chat.answer import Answer
    from chat.backends import Mode
    from chat.choose_backend import ChosenBackend
    from chat.context import Subject
    from chat.conversation import Conversation

RESEARCH_USE = "Research use only."
_MODE = "long_answer"  # where none is given
_CASES = 5  # are looked for, where -k does not say how many
_HELP = (
    "Ask in a sentence. /cases shows what is asked about, /sources what the last answer rests on, /quit ends."
)


def ask(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="In a sentence; without one, a conversation.")
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A stored volume or study; repeat for more."),
    ] = None,
    volume: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A CT, asked about through the stored cases most like it."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="Ask about the stored cases that these words describe."),
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", metavar="N", help=f"How many cases are looked for; {_CASES}.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where to look; `default`, or the only one there is.")
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="long_answer, short_answer, multiple_choice or report_generation.",
        ),
    ] = _MODE,
    backend: BackendOption = "extractive",
    model: ModelOption = None,
    base: BaseOption = None,
    encoder: EncoderOption = None,
    dtype: DtypeOption = "float32",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 …")] = "cpu",
    questions: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="A whole set of chat-data, asked in place of QUESTION."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="JSONL", help="Where its answers go, for evaluate chat.")
    ] = None,
    without_volume: Annotated[
        bool, typer.Option("--without-volume", help="Ask ct-chat the set without showing volumes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Answer a question from the reports of stored cases, with the sentences it rests on."""
    from chat.context import Subject

    said_how = _mode(mode)
    subject = Subject(
        names=tuple(case or ()), volume=volume, text=text, k=_CASES if k is None else k, collection=collection
    )
    if questions is not None or out is not None or without_volume:
        more = question is not None or subject.is_something or mode != _MODE or k is not None
        _check_set(questions, out, is_more=more)
    else:
        _check_question(question, as_json=as_json)
    chosen = backend_from(backend, model=model, base=base, encoder=encoder, device=device, dtype=dtype)
    if questions is not None and out is not None:
        ask_set(
            questions,
            out,
            chosen,
            collection=collection,
            device=device,
            without_volume=without_volume,
            as_json=as_json,
        )
        return
    with _conversation(subject, chosen, mode=said_how, device=device) as conversation:
        if question is None:
            _converse(conversation)
        else:
            _answer(conversation, question, as_json=as_json)


def _mode(name: str) -> "Mode":
    from chat.backends import Mode
    from encoders.errors import SearchError

    if name not in get_args(Mode):
        raise SearchError(f"mode {name!r} is unknown; take one of {', '.join(get_args(Mode))}")
    return name  # type: ignore[return-value]


def _check_question(question: str | None, *, as_json: bool) -> None:
    """Refuse what is no question before a model is loaded for it."""
    from chat.answer import check_question
    from encoders.errors import SearchError

    if question is not None:
        check_question(question)
    elif as_json:
        raise SearchError("--json answers one question; give it, as in ctsearch ask 'Is there an effusion?'")


def _check_set(questions: Path | None, out: Path | None, *, is_more: bool) -> None:
    from encoders.errors import ConfigError

    if questions is None or out is None:
        raise ConfigError("a set is asked with --questions JSON and --out JSONL: give both")
    if is_more:
        raise ConfigError("a set of --questions says itself what is asked of which case: give nothing else")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ConfigError(f"found --out {out}, which is no file in a folder that exists: name one")


@contextmanager
def _conversation(
    subject: "Subject", chosen: "ChosenBackend", *, mode: "Mode", device: str
) -> Iterator["Conversation"]:
    from chat.context import open_context
    from chat.conversation import Conversation

    with open_context(device=device) as context:
        shown = context.shown(subject, chosen.reader)
        yield Conversation(context, subject, chosen.backend, mode=mode, volume_tokens=shown)


def _answer(conversation: "Conversation", question: str, *, as_json: bool) -> None:
    answer = conversation.ask(question, None if as_json else WrappedText(sys.stdout))
    _warn(conversation.warnings)
    if as_json:
        sys.stdout.write(json.dumps(answer.to_json()) + "\n")
        return
    sys.stdout.write(f"\n{RESEARCH_USE}\n")


def _converse(conversation: "Conversation") -> None:
    """Answer line by line until the input ends; what goes wrong with a question does not end it."""
    from encoders.errors import CtsearchError

    typer.echo(f"{_HELP} {RESEARCH_USE}", err=True)
    conversation.evidence()  # a case that is not there is said before anything is asked
    warned = conversation.warnings
    _warn(warned)
    while (line := _read_line()) is not None:
        match line:
            case "":
                continue
            case "/quit" | "/exit":
                return
            case "/cases":
                _show_cases(conversation)
            case "/sources":
                _show_sources(conversation.last)
            case command if command.startswith("/"):
                typer.echo(_HELP, err=True)
            case asked:
                try:
                    conversation.ask(asked, WrappedText(sys.stdout))
                except CtsearchError as error:
                    typer.echo(f"ctsearch: {error}", err=True)
                else:
                    sys.stdout.write("\n")
                if conversation.warnings != warned:  # similar cases were looked for since
                    warned = conversation.warnings
                    _warn(warned)


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        typer.echo(warning, err=True)


def _read_line() -> str | None:
    if sys.stdin.isatty():
        sys.stdout.write("? ")
        sys.stdout.flush()
    line = sys.stdin.readline()
    return line.strip() if line else None


def _show_cases(conversation: "Conversation") -> None:
    from chat.context import case_names

    for line in case_names(conversation.evidence().cases):
        sys.stdout.write(f"{line}\n")


def _show_sources(answer: "Answer | None") -> None:
    if answer is None or not answer.citations:
        sys.stdout.write(
            "No sentence was cited yet.\n" if answer is None else "The last answer cites none.\n"
        )
        return
    for number, quote in enumerate(answer.citations, start=1):
        sys.stdout.write(
            f"{number} {quote.study}, {quote.section}, sentence {quote.sentence}: “{quote.text}”\n"
        )
