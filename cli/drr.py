"""`ctsearch drr`: a CT as a radiograph."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class RadiographView(StrEnum):
    """Where the rays go."""

    FRONTAL = "frontal"
    LATERAL = "lateral"


def drr(
    volume: Annotated[
        str, typer.Argument(help="A CT: NIfTI, NRRD, a DICOM folder, or a phantom as phantom:7/12_a/1.")
    ],
    out: Annotated[Path, typer.Option(metavar="PNG", help="The picture to write, 1 mm a pixel.")],
    view: Annotated[RadiographView, typer.Option(help="From front to back, or side to side.")] = (
        RadiographView.FRONTAL
    ),
) -> None:
    """Draw a digitally reconstructed radiograph of a volume, for models that read flat pictures."""
    from chat.radiograph import write_radiograph

    for doubt in write_radiograph(volume, out, view.value):
        typer.echo(f"warning: {volume} {doubt}", err=True)
    typer.echo(f"{view.value} radiograph written to {out}")
