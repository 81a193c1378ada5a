"""`ctsearch index`: put an archive's volumes and reports into a collection."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.index_summary import Failure, IndexSummary

SOME_FAILED = 3  # finished, but some items failed


class Format(StrEnum):
    """How the source is laid out."""

    AUTO = "auto"
    CT_RATE = "ct-rate"
    RAD_CHESTCT = "rad-chestct"
    FOLDER = "folder"
    DICOM = "dicom"
    PHANTOM = "phantom"


class Rescale(StrEnum):
    """Where stored values get their slope and intercept from."""

    AUTO = "auto"
    HEADER = "header"
    METADATA = "metadata"
    NONE = "none"


class Dtype(StrEnum):
    """Arithmetic of the encoder."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def index(
    source: Annotated[str, typer.Argument(help="A folder; for --format phantom, N[:SEED] scans are drawn.")],
    layout: Annotated[Format, typer.Option("--format", help="How the source is laid out.")] = Format.AUTO,
    collection: Annotated[str, typer.Option(metavar="NAME", help="Where the latents go.")] = "default",
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A built-in encoder's name or an imported model's directory; the collection's own."
        ),
    ] = None,
    reports: Annotated[Path | None, typer.Option(help="Report table.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Label table, 0/1 a finding.")] = None,
    metadata: Annotated[Path | None, typer.Option(help="Metadata table, one row a volume.")] = None,
    rescale: Annotated[Rescale, typer.Option(help="Source of slope and intercept.")] = Rescale.AUTO,
    label_model: Annotated[
        str,
        typer.Option(
            metavar="DIR|rules|none",
            help="Reads missing labels from reports: rules, or a trained extractor's directory.",
        ),
    ] = "none",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Arithmetic of the encoder.")] = Dtype.FLOAT32,
    batch_size: Annotated[int, typer.Option(min=1, help="Volumes encoded at once.")] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Files read at once.")] = 2,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="The source is declared anonymous already: names are kept.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before, though it has not changed.")
    ] = False,
    failures: Annotated[Path | None, typer.Option(help="Write the failures to this CSV.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the source and say what is there; store nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Encode every volume and report of SOURCE into a collection; run it again to go on or to update."""
    from cli.progress import indexing_progress
    from retrieval.archive import index_archive, survey_archive
    from retrieval.datasets import Tables
    from retrieval.index_summary import IndexRequest

    request = IndexRequest(
        source=source,
        format=layout.value,
        tables=Tables(reports=reports, labels=labels, metadata=metadata),
        collection=collection,
        encoder=encoder,
        rescale=rescale.value,
        label_model=None if label_model == "none" else label_model,
        device=device,
        dtype=dtype.value,
        batch_size=batch_size,
        workers=workers,
        anonymous=anonymous,
        retry_failed=retry_failed,
    )
    if failures is not None:
        _write_failures(failures, [])  # now, rather than after a night's work
    with indexing_progress() as progress:
        summary = survey_archive(request, progress) if dry_run else index_archive(request, progress)
    if as_json:
        sys.stdout.write(json.dumps(summary.to_json()) + "\n")
    else:
        _print_summary(summary, dry_run=dry_run)
    if failures is not None:
        _write_failures(failures, summary.failed)
    if summary.failed:
        raise typer.Exit(SOME_FAILED)


def _write_failures(path: Path, failed: "Sequence[Failure]") -> None:
    import csv

    from encoders.errors import StorageError

    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["item", "error"])
            table.writerows((failure.item, failure.error) for failure in failed)
    except OSError as error:
        raise StorageError(f"the failure list cannot be written to {path}: {error.strerror}") from error


def _print_summary(summary: "IndexSummary", *, dry_run: bool) -> None:
    verb = "would index" if dry_run else "indexed"
    typer.echo(
        f"{summary.collection}: {verb} {summary.indexed}, updated {summary.updated}, "
        f"unchanged {summary.unchanged}, failed {len(summary.failed)} in {summary.seconds:.1f} s"
    )
    if summary.without_file:
        typer.echo(f"{summary.without_file} volumes are in the tables only; their files have not arrived")
    if summary.reports_cut:
        typer.echo(
            f"{summary.reports_cut} reports are longer than the encoder reads; their findings were cut"
        )
    if summary.removed:
        counts = ", ".join(f"{count} × {kind}" for kind, count in sorted(summary.removed.items()))
        typer.echo(f"removed by de-identification: {counts}")
    for warning in summary.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for failure in summary.failed:
        typer.echo(f"failed: {failure.item}: {failure.error}", err=True)
