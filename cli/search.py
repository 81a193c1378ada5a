"""`ctsearch search`: the stored cases most like a CT, a stored case, a report or a sentence."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from retrieval.search import Answer, SearchOptions
    from retrieval.service import CaseSearch

UnitOption = Annotated[
    str, typer.Option(metavar="study|volume", help="What a hit is: a scan, or each of its reconstructions.")
]
Asked = tuple[Literal["volume", "case", "text", "report"], str]


def search(
    volume: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A CT: NIfTI, NRRD, or a folder with one DICOM series."),
    ] = None,
    case: Annotated[str | None, typer.Option(metavar="NAME", help="A stored volume or study.")] = None,
    text: Annotated[str | None, typer.Option(metavar="WORDS", help="A finding or a few, in words.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="A text file with a report.")] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many hits.")] = 10,
    collection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where to look; `default`, or the only one there is.")
    ] = None,
    label: LabelOption = None,
    without_label: WithoutLabelOption = None,
    label_source: LabelSourceOption = None,
    sex: SexOption = None,
    age: AgeOption = None,
    manufacturer: ManufacturerOption = None,
    split: SplitOption = None,
    dataset: DatasetOption = None,
    exclude: Annotated[
        str,
        typer.Option(
            metavar="same-study|same-patient|none", help="What of the case that asks is not to be found."
        ),
    ] = "same-study",
    unit: UnitOption = "study",
    engine: Annotated[
        str,
        typer.Option(
            metavar="auto|faiss|pgvector", help="What compares latents; --explain says which did and why."
        ),
    ] = "auto",
    leg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="text|report|volume",
            help="Search only this: what reports say, their latents, volumes' latents. May be repeated.",
        ),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the question and its hits into this file.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 …")] = "cpu",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr how the hits were found.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the stored cases most like a volume, a case, a report or a sentence, nearest first."""
    from retrieval.search import SearchOptions
    from retrieval.service import open_case_search

    asked = _asked(volume=volume, case=case, text=text, report=report)
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
    options = SearchOptions(
        k=k,
        filters=filters,
        unit=unit,  # type: ignore[arg-type]
        exclude=exclude,  # type: ignore[arg-type]
        engine=engine,  # type: ignore[arg-type]
        legs=tuple(leg or ()),  # type: ignore[arg-type]
    )
    with open_case_search(device=device) as service:
        answer = _ask(service, asked, options, collection)
    for line in (*answer.warnings, *(answer.explanation if explain else ())):
        typer.echo(line, err=True)
    _show(answer, asked, as_json=as_json)
    if png is not None:
        _draw(answer, png)


def _asked(*, volume: Path | None, case: str | None, text: str | None, report: Path | None) -> Asked:
    from encoders.errors import SearchError

    given: list[Asked] = []
    if volume is not None:
        given.append(("volume", str(volume)))
    if case is not None:
        given.append(("case", case))
    if text is not None:
        given.append(("text", text))
    if report is not None:
        given.append(("report", str(report)))
    if len(given) != 1:
        found = " and ".join(f"--{kind}" for kind, _ in given) or "none"
        raise SearchError(f"a search needs one of --volume, --case, --text and --report; found {found}")
    return given[0]


def _ask(service: "CaseSearch", asked: Asked, options: "SearchOptions", collection: str | None) -> "Answer":
    kind, value = asked
    match kind:
        case "volume":
            return service.search_by_volume(Path(value), options, collection=collection)
        case "case":
            return service.search_by_case(value, options, collection=collection)
        case "text":
            return service.search_by_text(value, options, collection=collection)
        case "report":
            return service.search_by_report(Path(value), options, collection=collection)


def _draw(answer: "Answer", png: Path) -> None:
    from retrieval.answer_picture import draw_answer

    drawn = draw_answer(answer, png)
    typer.echo(f"{drawn} of {len(answer.hits)} hits drawn into {png}", err=True)


def _show(answer: "Answer", asked: Asked, *, as_json: bool) -> None:
    from cli.tables import print_answer

    if as_json:
        sys.stdout.write(json.dumps(answer.to_json()) + "\n")
        return
    kind, value = asked
    print_answer(answer, f"Cases like “{value}”" if kind == "text" else f"Cases like {value}")
