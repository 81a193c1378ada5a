"""`ctsearch models`: import published checkpoints, mix two models, and list what there is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from encoders.model_card import ModelCard

app = typer.Typer(help="Import CT-CLIP checkpoints and list the encoders.", no_args_is_help=True)


@app.command("import")
def import_checkpoint(
    checkpoint: Annotated[
        Path, typer.Argument(help="A published .pt or .safetensors file; no pickled code is run.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", help="Directory to make; give it to --encoder afterwards.")],
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="The text encoder's vocab.txt or tokenizer.json; without it only token ids encode."
        ),
    ] = None,
    slices: Annotated[int, typer.Option(min=1, help="Slices of the grid it was trained on.")] = 240,
    text_heads: Annotated[int, typer.Option(min=1, help="Attention heads of the text encoder.")] = 12,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows and columns, for a volume encoder alone (else 480); weights tell the rest."
        ),
    ] = None,
) -> None:
    """Convert a published CT-CLIP, VocabFine or volume-encoder checkpoint into a model directory.

    Published weights keep their licence: CT-CLIP's is CC BY-NC-SA 4.0.
    """
    from encoders.checkpoints import read_checkpoint
    from encoders.model_directory import write_model
    from encoders.reports import ReportTokenizer

    reader = None if tokenizer is None else ReportTokenizer.from_path(tokenizer)
    weights = read_checkpoint(checkpoint, slices=slices, text_heads=text_heads, image_px=image_size)
    card = write_model(out, weights, tokenizer=reader, source=f"imported from {checkpoint.name}")
    _show_imported(card)


@app.command("interpolate")
def interpolate_models(
    zero_shot: Annotated[str, typer.Argument(help="The model before fine-tuning: a name or a directory.")],
    fine_tuned: Annotated[str, typer.Argument(help="What was fine-tuned from it.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Directory to make; give it to --encoder afterwards.")],
    alpha: Annotated[
        float, typer.Option(help="0 gives the first model, 1 the second; between them the line's points.")
    ] = 0.5,
) -> None:
    """Write the model between a CT-CLIP and what was fine-tuned from it (WISE-FT).

    Fine-tuning gains detection and loses retrieval; half-way much of both is kept.
    """
    from encoders.encoder import model_directory
    from encoders.weight_interpolation import write_interpolated

    card = write_interpolated(model_directory(zero_shot), model_directory(fine_tuned), alpha, out)
    _show_imported(card)


@app.command("list")
def list_models() -> None:
    """Show the built-in encoders, and those imported into the models folder of CTSEARCH_HOME."""
    from rich.console import Console
    from rich.markup import escape

    from encoders.errors import CheckpointError
    from encoders.model_card import BUILT_IN, CONFIG_FILE, built_in_names, read_card
    from retrieval.postgres import home

    models = home() / "models"
    imported = sorted(path.parent for path in models.glob(f"*/{CONFIG_FILE}") if path.parent.name[0] != ".")
    table = _table()
    for name in built_in_names():
        table.add_row(*_row(name, read_card(BUILT_IN / name), "built in"))
    for directory in imported:
        try:
            table.add_row(*_row(directory.name, read_card(directory), "imported"))
        except CheckpointError:
            table.add_row(escape(directory.name), "damaged: import it again")
    console = Console()
    if table.rows:
        console.print(table)
    console.print("A built-in encoder is given by its name, any other by its directory.")
    console.print(escape(f"ctsearch models import CHECKPOINT --out {models}/NAME"), soft_wrap=True)


def _show_imported(card: "ModelCard") -> None:
    from rich.console import Console
    from rich.markup import escape

    table = _table()
    table.add_row(*_row(card.directory.name, card, card.source))
    console = Console()
    console.print(table)
    if card.described.report is not None and card.tokenizer_file is None:
        console.print(
            "It has no tokeniser. To search by text, import it with --tokenizer VOCAB into another --out."
        )
    if card.described.latent_dim:
        console.print(escape(f"Use it: ctsearch index SOURCE --encoder {card.directory}"), soft_wrap=True)
    else:
        console.print("It makes tokens and no latents: for CT-CHAT, not for an archive.")


def _table() -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("Encoder", "From", "Grid", "Latent", "Text", "Digest"):
        table.add_column(column, overflow="fold")
    return table


def _row(name: str, card: "ModelCard", origin: str) -> tuple[str, ...]:
    from rich.markup import escape

    grid = " × ".join(map(str, card.described.grid.shape))
    latent = str(card.described.latent_dim or "tokens only")
    text = "yes" if card.tokenizer_file else "no tokeniser" if card.described.report else "no"
    return escape(name), escape(origin), grid, latent, text, card.digest[:12]
