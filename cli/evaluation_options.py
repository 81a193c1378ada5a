"""Options that the commands of `ctsearch evaluate` share."""

from typing import Annotated

import typer

AgainstOption = Annotated[
    str | None,
    typer.Option(metavar="NAME_OR_NPZ", help="Compare with another collection or file."),
]
SkipUnlabelledOption = Annotated[
    bool, typer.Option("--skip-unlabelled", help="Leave volumes without labels out; else refused.")
]
ResamplesOption = Annotated[int, typer.Option(min=10, help="Of the bootstrap, by patient.")]
PermutationsOption = Annotated[int, typer.Option(min=10, help="Of the paired test.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
