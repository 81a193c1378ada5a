"""`ctsearch cases`: what the archive holds, and taking something out of it."""

import json
import sys
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

if TYPE_CHECKING:
    from retrieval.records import Removed

app = typer.Typer(help="List what the archive holds, and remove a patient or a study.", no_args_is_help=True)


@app.command("list")
def list_cases(
    label: LabelOption = None,
    without_label: WithoutLabelOption = None,
    label_source: LabelSourceOption = None,
    sex: SexOption = None,
    age: AgeOption = None,
    manufacturer: ManufacturerOption = None,
    split: SplitOption = None,
    dataset: DatasetOption = None,
    unit: UnitOption = "volume",
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, max=2**31, help="How many at most; else all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the cases of the archive that match, those without a latent too; one row a volume."""
    from cli.tables import print_cases
    from retrieval.search import SearchOptions
    from retrieval.service import open_case_search

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
    checked = SearchOptions(filters=filters, unit=unit)  # type: ignore[arg-type]
    with open_case_search() as service:
        cases = service.list_cases(checked.filters, checked.unit, limit)
    if as_json:
        document = {"cases": [case.to_json() for case in cases], "count": len(cases)}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        print_cases(cases)


@app.command("remove")
def remove_cases(
    patient: Annotated[str | None, typer.Option(help="Everything of this patient.")] = None,
    study: Annotated[str | None, typer.Option(help="Everything of this study.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Remove a patient or a study: rows, reports, labels and latents. The source's files are left alone."""
    from encoders.errors import SearchError
    from retrieval.service import open_case_search

    if (patient is None) == (study is None):
        raise SearchError("name what is to be removed with one of --patient and --study")
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Remove {patient or study} for good?", abort=True, err=True)
    with open_case_search() as service:
        removed = (
            service.remove_patient(patient) if patient is not None else service.remove_study(study or "")
        )
    _show_removed(patient or study or "", removed)


def _show_removed(name: str, removed: "Removed") -> None:
    typer.echo(
        f"{name}: removed {removed.studies} studies, {removed.volumes} volumes, {removed.reports} reports "
        f"and {removed.latents} latents"
    )
