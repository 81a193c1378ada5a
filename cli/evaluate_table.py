"""`ctsearch evaluate table`: the paper's retrieval table over several collections."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.evaluation_options import JsonOption, ResamplesOption, SkipUnlabelledOption
from cli.filter_options import LabelSourceOption

if TYPE_CHECKING:
    from retrieval.evaluation.paper_table import DatasetTable

JSON_FILE, CSV_FILE = "retrieval_table.json", "retrieval_table.csv"


def table(
    collection: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A model's latents in the archive; repeat, one for each model."),
    ] = None,
    latents: Annotated[
        list[Path] | None, typer.Option(metavar="NPZ", help="A model's latents in a file; may be repeated.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="CSV", help="With --latents: VolumeName and the 18 findings.")
    ] = None,
    label_source: LabelSourceOption = None,
    skip_unlabelled: SkipUnlabelledOption = False,
    resamples: ResamplesOption = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help=f"Write {JSON_FILE} and {CSV_FILE} there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print MAP@K and Recall@K of several models, each with its fold over chance, data set by data set."""
    from cli.evaluation_tables import print_paper_tables
    from cli.progress import indexing_progress
    from encoders.errors import ConfigError
    from retrieval.evaluation.by_dataset import by_dataset
    from retrieval.evaluation.evaluate import EvaluationOptions
    from retrieval.evaluation.paper_table import paper_tables, tables_json
    from retrieval.evaluation.sources import EvaluationRequest, load_pools
    from retrieval.filters import parse_label_source

    if not collection and not latents:
        raise ConfigError("the table has a row a model: name --collection or --latents, once for each")
    source = None if label_source is None else parse_label_source(label_source)
    asked = [(name, None) for name in collection or ()] + [(None, path) for path in latents or ()]
    requests = [
        EvaluationRequest(
            collection=name,
            latents=path,
            labels=None if path is None else labels,
            label_source=source,
            skip_unlabelled=skip_unlabelled,
        )
        for name, path in asked
    ]
    options = EvaluationOptions(resamples=resamples, seed=seed)
    names = [name or str(path) for name, path in asked]
    if len(set(names)) < len(names):
        raise ConfigError(f"a model is named twice ({', '.join(names)}): name each once")
    with indexing_progress() as progress:
        pools = [load_pools(request, progress)[0] for request in requests]
        models = {
            name: by_dataset(pool, request.collection)
            for name, pool, request in zip(names, pools, requests, strict=True)
        }
        tables = paper_tables(models, options, progress)
    for warning in dict.fromkeys(warning for pool in pools for warning in pool.warnings):
        typer.echo(warning, err=True)
    document = tables_json(tables, options)
    if out is not None:
        _write(out, document, tables)
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        print_paper_tables(tables)


def _write(folder: Path, document: dict[str, object], tables: "list[DatasetTable]") -> None:
    from retrieval.atomic_file import written_atomically
    from retrieval.evaluation.paper_table import table_rows

    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table_rows(tables))
    with written_atomically(folder / JSON_FILE) as stream:
        stream.write(json.dumps(document, indent=2).encode())
    with written_atomically(folder / CSV_FILE) as stream:
        stream.write(text.getvalue().encode())
