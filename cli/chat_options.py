"""Who answers: options of `ctsearch ask`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from chat.choose_backend import ChosenBackend

BackendOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="extractive (no model), ct-chat (--model), or openai (the server of CTSEARCH_OPENAI_URL).",
    ),
]
ModelOption = Annotated[str | None, typer.Option(metavar="DIR", help="The chat model of ct-chat.")]
BaseOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Its language model, where its directory names none.")
]
EncoderOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The encoder it sees through, where it names none.")
]
DtypeOption = Annotated[str, typer.Option(metavar="TYPE", help="Of its weights: float32 or bfloat16.")]


def backend_from(
    name: str, *, model: str | None, base: str | None, encoder: str | None, device: str, dtype: str
) -> "ChosenBackend":
    """Return the backend that was asked for, and say on stderr if reports leave this machine for it.

    Raises:
        SearchError: there is none of this name, or no such type.
        ConfigError: see `chat.choose_backend`.
        CheckpointError: likewise.
    """
    from pathlib import Path

    from chat.choose_backend import LocalModel, choose_backend
    from encoders.errors import SearchError

    if dtype not in ("float32", "bfloat16"):
        raise SearchError(f"--dtype {dtype!r} is unknown; take float32 or bfloat16")
    local = LocalModel(
        directory=None if model is None else Path(model),
        base=base,
        encoder=encoder,
        device=device,
        dtype=dtype,  # type: ignore[arg-type]
    )
    chosen = choose_backend(name, local)
    if chosen.sends_to is not None:
        typer.echo(f"reports are sent to {chosen.sends_to}: they leave this machine", err=True)
    return chosen
