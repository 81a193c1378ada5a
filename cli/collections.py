"""`ctsearch collections`: list them, drop one, write its latents to a file, make its searches quick."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.index import SOME_FAILED


class FaissKind(StrEnum):
    """What the engine in memory searches a snapshot with; `retrieval.faiss_collection` says more."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF_FP16 = "ivf-fp16"
    PQ_REFINE = "pq-refine"


app = typer.Typer(
    help="List collections, drop one, export its latents, make its searches quick.", no_args_is_help=True
)


@app.command("list")
def list_collections(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the collections and how many latents each holds."""
    from cli.tables import print_collections
    from retrieval.service import open_case_search

    with open_case_search() as service:
        collections = service.store.collections()
    if not as_json:
        print_collections(collections)
        return
    document = {
        "collections": [
            {
                "name": info.name,
                "encoder": info.encoder,
                "encoder_digest": info.encoder_digest,
                "preprocessing_digest": info.preprocessing_digest,
                "latent_dim": info.latent_dim,
                "created_at": info.created_at.isoformat(),
                "volumes": info.volumes,
                "reports": info.reports,
                "studies": info.studies,
            }
            for info in collections
        ]
    }
    sys.stdout.write(json.dumps(document) + "\n")


@app.command("drop")
def drop_collection(
    name: Annotated[str, typer.Argument(help="The collection.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Drop a collection's latents; cases, reports and labels stay."""
    from retrieval.service import open_case_search

    if not yes and sys.stdin.isatty():
        typer.confirm(f"Drop all latents of the collection {name}?", abort=True, err=True)
    with open_case_search() as service:
        service.drop_collection(name)
    typer.echo(f"the collection {name} is dropped")


@app.command("export")
def export_collection(
    name: Annotated[str, typer.Argument(help="The collection.")],
    out: Annotated[Path, typer.Option("--out", help="The .npz to write.")],
) -> None:
    """Write a collection's latents to an .npz, with names, studies and patients beside them."""
    from retrieval.service import open_case_search

    with open_case_search() as service:
        rows = service.store.export_collection(service.collection(name).name, out)
    typer.echo(f"{rows} rows of the collection {name} written to {out}")


@app.command("scores")
def export_scores(
    name: Annotated[str, typer.Argument(help="The collection.")],
    out: Annotated[Path, typer.Option("--out", help="The .npz to write.")],
    prompt: Annotated[
        str | None,
        typer.Option(help='Score by sentences, as "There is [no] {}.", also where the model has a head.'),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 …")] = "cpu",
) -> None:
    """Write how likely each volume shows the 18 findings, for `evaluate detection --scores`.

    A ClassFine's or CT-Net's own head scores, any other model by prompts. No volume is encoded.
    """
    from retrieval.asked_collection import asked_collection, load_collection_encoder
    from retrieval.evaluation.stored import collection_pool
    from retrieval.migrate import open_archive
    from retrieval.scores_file import write_scores

    engine = open_archive()
    try:
        with engine.connect() as connection:
            info = asked_collection(connection, name)
            pool = collection_pool(connection, info)
    finally:
        engine.dispose()
    encoder = load_collection_encoder(info, device)
    rows = write_scores(out, pool, encoder, prompt)
    by = "its own head" if encoder.has_head and prompt is None else "prompts"
    typer.echo(f"scores of {rows} volumes of the collection {name}, by {by}, written to {out}")


@app.command("optimise")
def optimise_collection(
    name: Annotated[str, typer.Argument(help="The collection.")],
    faiss: Annotated[
        FaissKind | None, typer.Option(help="The snapshot's index: exact (flat), or quicker and approximate.")
    ] = None,
) -> None:
    """Bring a collection's statistics, indexes and snapshot up to date; indexing does so too when it ends."""
    from cli.progress import indexing_progress
    from retrieval.faiss_collection import index_kind
    from retrieval.migrate import open_archive
    from retrieval.store import Store
    from retrieval.upkeep import tend_collection

    engine = open_archive()
    try:
        info, kind = Store(engine).collection(name), None if faiss is None else index_kind(faiss)
        with indexing_progress() as progress:
            undone = tend_collection(engine, info, progress, faiss=kind)
    finally:
        engine.dispose()
    for sentence in undone:
        typer.echo(f"warning: {sentence}", err=True)
    if undone:
        raise typer.Exit(SOME_FAILED)
    typer.echo(f"the collection {name} is up to date; ctsearch db status shows how it stands")
