"""`ctsearch demo`: the product at work on a phantom archive, with the commands that a user would type."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

SCANS = 200
ARCHIVE_SEED = 7  # of the archive; the built-in encoder saw neither of the two
VISITOR_SEED = 8  # of the scan that is brought along as files
COLLECTION = "phantoms"
CASE = "phantom_7_1_a_1"


def demo(
    out: Annotated[Path, typer.Option(help="Where the pictures and the visitor's files go.")] = Path("demo"),
) -> None:
    """Draw 200 phantom scans, index them and search them in every way; no figure is a clinical one."""
    from retrieval.datasets.phantom import describe_cohort

    out.mkdir(parents=True, exist_ok=True)
    volume, report = _write_visitor(out)
    _say(f"{SCANS} synthetic chest CTs (phantoms, not patients):")
    typer.echo(describe_cohort(SCANS, ARCHIVE_SEED))
    picture = out / "hits.png"
    where = ["--collection", COLLECTION]
    _run("index", f"{SCANS}:{ARCHIVE_SEED}", "--format", "phantom", *where)
    _say("1. Cases like one of the archive")
    _run("search", "--case", CASE, "-k", "5", *where, "--png", str(picture))
    _say("2. Cases like a CT that is not in the archive")
    _run("search", "--volume", str(volume), "-k", "5", *where)
    _say("3. Cases that a sentence describes, from women of 50 and more")
    _run("search", "--text", "Large right pleural effusion.", "--sex", "F", "--age", "50:", "-k", "5", *where)
    _say("4. Cases like a report")
    _run("search", "--report", str(report), "-k", "5", *where)
    _say("5. What the encoder makes of one case")
    _run("score", "--case", CASE, *where)
    _say("6. A question about it, answered from its report")
    _run("ask", "Is there a lung nodule, and how large is it?", "--case", CASE, *where)
    typer.echo(_FAREWELL.format(picture=picture))


def _write_visitor(out: Path) -> tuple[Path, Path]:
    """Write a scan that the archive does not hold, as a hospital would have it: a NIfTI and a report."""
    import nibabel as nib
    import numpy as np

    from retrieval.datasets.phantom import draw_volume, phantom_cohort

    case = next(case for case in phantom_cohort(20, VISITOR_SEED) if case.labels.get("Pleural effusion"))
    file = case.volumes[0].file
    if file is None:
        raise TypeError("a phantom is always drawn")
    hu_DHW, (slice_mm, row_mm, column_mm) = draw_volume(file.uri)
    stored_xyz = np.ascontiguousarray(hu_DHW.transpose(1, 2, 0)).round().astype(np.int16)
    volume, report = out / "visitor.nii.gz", out / "visitor.txt"
    affine = np.diag([-row_mm, -column_mm, slice_mm, 1.0])  # indices run to Left, Posterior, Superior
    nib.save(nib.Nifti1Image(stored_xyz, affine), volume)
    report.write_text(f"{case.reports[0].findings} {case.reports[0].impression}\n", encoding="utf-8")
    return volume, report


def _say(text: str) -> None:
    typer.echo(f"\n{text}")


def _run(*arguments: str) -> None:
    from cli.main import app

    typer.echo(f"\n$ ctsearch {shlex.join(arguments)}\n")
    app(list(arguments), standalone_mode=False)


_FAREWELL = """
The picture of the first search is {picture}.

Go on asking this archive (`make demo` keeps it in demo/home), here or in a browser:

    CTSEARCH_HOME=demo/home .venv/bin/ctsearch search --text "port catheter" --collection phantoms
    CTSEARCH_HOME=demo/home .venv/bin/ctsearch serve

An archive of your own:

    .venv/bin/ctsearch index /path/to/archive --collection mine
    .venv/bin/ctsearch search --volume /path/to/scan.nii.gz --collection mine

phantom-tiny, the encoder used here, knows phantoms only. For patients import CT-CLIP (CC BY-NC-SA 4.0) first:

    .venv/bin/ctsearch models import CT-CLIP_v2.pt --out models/ct-clip --tokenizer vocab.txt
    .venv/bin/ctsearch index /path/to/archive --collection mine --encoder models/ct-clip

Research use only: nothing here is a diagnosis.
"""
