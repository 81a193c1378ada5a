"""`ctsearch score`: how likely findings are in a case, or which cases show a finding most."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.filter_options import (
    AgeOption,
    DatasetOption,
    LabelOption,
    LabelSourceOption,
    ManufacturerOption,
    SexOption,
    SplitOption,
    WithoutLabelOption,
    filters_from,
)
from cli.search import UnitOption
from encoders.abnormalities import DEFAULT_PROMPT

if TYPE_CHECKING:
    from retrieval.scoring import FindingRanking, FindingScores


def score(
    volume: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A CT: NIfTI, NRRD, or a folder with one DICOM series."),
    ] = None,
    case: Annotated[str | None, typer.Option(metavar="NAME", help="A stored volume or study.")] = None,
    finding: Annotated[
        list[str] | None,
        typer.Option(metavar="WORDS", help="Any finding in words; repeat for more. Else the 18."),
    ] = None,
    prompt: Annotated[
        str,
        typer.Option(help='A known prompt, or a sentence: "There is [no] {}." The negation is in brackets.'),
    ] = DEFAULT_PROMPT,
    collection: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose latents and encoder; `default`, or the only one there is."),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Without a case: how many cases a finding.")] = 10,
    label: LabelOption = None,
    without_label: WithoutLabelOption = None,
    label_source: LabelSourceOption = None,
    sex: SexOption = None,
    age: AgeOption = None,
    manufacturer: ManufacturerOption = None,
    split: SplitOption = None,
    dataset: DatasetOption = None,
    unit: UnitOption = "study",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 …")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print how likely findings are in a case; with --finding alone, the cases that show it most."""
    from encoders.errors import SearchError
    from retrieval.search import SearchOptions
    from retrieval.service import open_case_search

    findings = tuple(finding or ())
    if volume is not None and case is not None:
        raise SearchError("one of --volume and --case is scored at a time; found both")
    if volume is None and case is None and not findings:
        raise SearchError("a score needs --volume or --case, or a --finding to rank the collection by")
    filters = filters_from(
        label=label,
        without_label=without_label,
        label_source=label_source,
        sex=sex,
        age=age,
        manufacturer=manufacturer,
        split=split,
        dataset=dataset,
    )
    options = SearchOptions(k=k, filters=filters, unit=unit)  # type: ignore[arg-type]
    with open_case_search(device=device) as service:
        if case is not None:
            _show_scores(
                service.score_case(case, findings, prompt=prompt, collection=collection),
                case,
                as_json=as_json,
            )
        elif volume is not None:
            scores = service.score_volume(volume, findings, prompt=prompt, collection=collection)
            _show_scores(scores, str(volume), as_json=as_json)
        else:
            rankings = service.rank_by_findings(findings, options, prompt=prompt, collection=collection)
            _show_rankings(rankings, as_json=as_json)


def _show_scores(scores: "FindingScores", of: str, *, as_json: bool) -> None:
    from cli.tables import print_probabilities

    for warning in scores.warnings:
        typer.echo(warning, err=True)
    if as_json:
        sys.stdout.write(json.dumps(scores.to_json()) + "\n")
    else:
        print_probabilities(f"{of} · {scores.prompt or 'the model’s own head'}", dict(scores.probabilities))


def _show_rankings(rankings: "list[FindingRanking]", *, as_json: bool) -> None:
    from cli.tables import print_hits

    if as_json:
        first = rankings[0]
        document = {
            "prompt": first.prompt,
            "collection": first.collection,
            "rankings": [ranking.to_json() for ranking in rankings],
        }
        sys.stdout.write(json.dumps(document) + "\n")
        return
    for ranking in rankings:
        title = f"“{ranking.prompt.replace('{}', ranking.finding)}” · collection {ranking.collection}"
        print_hits(ranking.hits, title, score="Probability")
