"""`ctsearch evaluate chat`: how well a chat model answers, each figure beside what a constant answer gets."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.evaluation_options import JsonOption, PermutationsOption, ResamplesOption

JSON_FILE = "chat.json"


def chat(
    answers: Annotated[
        Path,
        typer.Option(
            metavar="JSON", help="A list, or a line each, of id, task, question, reference, answer."
        ),
    ],
    questions: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="The set of chat-data that was asked: answers need id and answer."),
    ] = None,
    without_volume: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="Answers to the same questions, asked without the volume."),
    ] = None,
    label_model: Annotated[
        str,
        typer.Option(metavar="DIR|rules", help="Reads the 18 findings from generated and reference reports."),
    ] = "rules",
    judge: Annotated[
        bool, typer.Option("--judge", help="Have the server of CTSEARCH_OPENAI_URL grade every answer.")
    ] = False,
    normal_report: Annotated[
        Path | None, typer.Option(metavar="TXT", help="The floor's report; a built-in normal one.")
    ] = None,
    resamples: ResamplesOption = 1000,
    permutations: PermutationsOption = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of bootstrap and permutations.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help=f"Write {JSON_FILE} there.")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="That a label model runs on.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Print BLEU-1, METEOR, ROUGE-L, CIDEr, clinical efficacy and grades of a chat model's answers."""
    from chat.answer_floors import ALL_NORMAL, read_normal_report
    from chat.answers_file import read_answers
    from chat.judge import open_judge
    from chat.scores import ScoreOptions, score_answers
    from cli.chat_tables import print_chat
    from cli.progress import indexing_progress
    from encoders.report_labels import load_label_extractor

    options = ScoreOptions(
        extractor=load_label_extractor(label_model, device=device),
        judge=open_judge() if judge else None,
        normal=ALL_NORMAL if normal_report is None else read_normal_report(normal_report),
        resamples=resamples,
        permutations=permutations,
        seed=seed,
    )
    answered = read_answers(answers, questions)
    blind = None if without_volume is None else read_answers(without_volume, questions)
    sends_to = None if options.judge is None else options.judge.server.settings.sends_to
    if sends_to is not None:
        typer.echo(f"questions and answers are sent to {sends_to}: they leave this machine", err=True)
    with indexing_progress() as progress:
        document = score_answers(answered, options, progress, blind)
    for warning in document["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    if out is not None:
        _write(out, document)
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        print_chat(document, str(answers))


def _write(folder: Path, document: dict[str, object]) -> None:
    from retrieval.atomic_file import written_atomically

    folder.mkdir(parents=True, exist_ok=True)
    with written_atomically(folder / JSON_FILE) as stream:
        stream.write(json.dumps(document, indent=2).encode())
