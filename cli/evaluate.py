"""`ctsearch evaluate`: how well cases and findings are found, each figure with its floor and interval."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import evaluate_chat, evaluate_table
from cli.evaluation_options import (
    AgainstOption,
    JsonOption,
    PermutationsOption,
    ResamplesOption,
    SkipUnlabelledOption,
)
from cli.filter_options import LabelSourceOption

app = typer.Typer(help="Score retrieval, detection and chat.", no_args_is_help=True, rich_markup_mode=None)

app.command("table")(evaluate_table.table)
app.command("chat")(evaluate_chat.chat)


@app.callback()
def evaluate() -> None:
    """Score what is stored in a collection, or latents, scores or answers in a file."""


@app.command()
def retrieval(
    collection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose latents; labels are the archive's.")
    ] = None,
    latents: Annotated[
        Path | None,
        typer.Option(metavar="NPZ", help="name, volume, report; optionally study, patient, has_report."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="CSV", help="With --latents: VolumeName and the 18 findings.")
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="With --latents: VolumeName and PatientAge, for a plot."),
    ] = None,
    against: AgainstOption = None,
    report_section: Annotated[
        str,
        typer.Option(metavar="both|findings|impression|all", help="What asks in report to volume."),
    ] = "both",
    label_source: LabelSourceOption = None,
    skip_unlabelled: SkipUnlabelledOption = False,
    resamples: ResamplesOption = 1000,
    permutations: PermutationsOption = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of bootstrap, permutations and t-SNE.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write JSON, TREC runs and qrels, and plots there."),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="That encodes a section of a collection's reports.")
    ] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Print how well volumes find volumes and reports find volumes, beside what knowing nothing gives."""
    from cli.evaluation_tables import print_comparison, print_evaluation
    from cli.progress import indexing_progress
    from retrieval.evaluation.evaluate import Comparison, EvaluationOptions, compare
    from retrieval.evaluation.evaluate import evaluate as evaluate_pool
    from retrieval.evaluation.output import require_libraries, write_output
    from retrieval.evaluation.sources import EvaluationRequest, load_pools
    from retrieval.filters import parse_label_source

    request = EvaluationRequest(
        collection=collection,
        latents=latents,
        labels=labels,
        metadata=metadata,
        against=against,
        section=report_section,  # type: ignore[arg-type]
        label_source=None if label_source is None else parse_label_source(label_source),
        skip_unlabelled=skip_unlabelled,
        device=device,
    )
    options = EvaluationOptions(
        section=request.headline, resamples=resamples, permutations=permutations, seed=seed
    )
    if out is not None:
        require_libraries()
    with indexing_progress() as progress:
        pool, other = load_pools(request, progress)
        result = (
            evaluate_pool(pool, options, progress)
            if other is None
            else compare(pool, other, options, progress)
        )
        written = [] if out is None else write_output(result, out, progress)
    for warning in (*pool.warnings, *(() if other is None else other.warnings)):
        typer.echo(warning, err=True)
    if as_json:
        sys.stdout.write(json.dumps(result.to_json()) + "\n")
        return
    if isinstance(result, Comparison):
        print_comparison(result)
    else:
        print_evaluation(result)
    if written:
        typer.echo(f"written to {out}: {', '.join(written)}")


@app.command()
def detection(
    collection: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose latents, scored zero-shot; labels are the archive's."),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(metavar="NPZ", help="name, score (N, 18); optionally study, patient.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="CSV", help="With --scores: VolumeName and the findings.")
    ] = None,
    against: AgainstOption = None,
    finding_set: Annotated[
        str,
        typer.Option(
            "--findings",
            metavar="auto|ct-rate|rad-chestct",
            help="The 18, or RAD-ChestCT's 16; auto goes by the volumes' names.",
        ),
    ] = "auto",
    threshold_share: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Of the patients, who choose thresholds and are not scored."),
    ] = 0.1,
    label_source: LabelSourceOption = None,
    skip_unlabelled: SkipUnlabelledOption = False,
    resamples: ResamplesOption = 1000,
    permutations: PermutationsOption = 10_000,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the patients for thresholds, bootstrap, permutations, t-SNE.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write JSON, CSV tables and plots there.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="That encodes the prompts.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Print how well scores tell each finding, beside what calling every volume the same gives."""
    from cli.detection_tables import print_detection, print_detection_comparison
    from cli.progress import indexing_progress
    from retrieval.evaluation.detection.document import detection_document
    from retrieval.evaluation.detection.evaluate import DetectionOptions, compare_detection, detect
    from retrieval.evaluation.detection.output import write_detection
    from retrieval.evaluation.detection.sample import parse_finding_set
    from retrieval.evaluation.detection.sources import DetectionRequest, load_scores
    from retrieval.evaluation.output import require_libraries
    from retrieval.filters import parse_label_source

    request = DetectionRequest(
        collection=collection,
        scores=scores,
        labels=labels,
        against=against,
        label_source=None if label_source is None else parse_label_source(label_source),
        skip_unlabelled=skip_unlabelled,
        device=device,
    )
    options = DetectionOptions(
        finding_set=parse_finding_set(finding_set),
        threshold_share=threshold_share,
        resamples=resamples,
        permutations=permutations,
        seed=seed,
    )
    if out is not None:
        require_libraries()
    with indexing_progress() as progress:
        scored, other = load_scores(request, progress)
        result = (
            detect(scored, options, progress)
            if other is None
            else compare_detection(scored, other, options, progress)
        )
        written = [] if out is None else write_detection(result, out, progress)
    document = detection_document(result)
    for warning in dict.fromkeys((*document["warnings"], *document.get("against", {}).get("warnings", ()))):
        typer.echo(warning, err=True)
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    if other is None:
        print_detection(document, scored.pool.called)
    else:
        print_detection_comparison(document, scored.pool.called, other.pool.called)
    if written:
        typer.echo(f"written to {out}: {', '.join(written)}")
