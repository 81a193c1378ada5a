"""Options that every training from volumes has: declared once, as fields."""

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from cli.index import Dtype, Format

if TYPE_CHECKING:
    from encoders.model_card import ModelCard
    from training.distributed import Place
    from training.whole_training import Options


class Sharding(StrEnum):
    """How several devices share a model."""

    DDP = "ddp"
    FSDP = "fsdp"


RunOption = Annotated[str, typer.Option(help="A named run; see the command's help.")]
OutOption = Annotated[Path, typer.Option(help="Where the model's directory is written.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What is learnt from, how the work is divided, and numbers of the run that may be changed."""

    data: Annotated[
        str | None,
        typer.Option(
            help="A folder as for ctsearch index, or N[:SEED] phantom patients; default: the run's."
        ),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False
    held_out: Annotated[
        str | None, typer.Option(help="Data to evaluate on: a folder, or N[:SEED] phantom patients.")
    ] = None
    data_share: Annotated[
        float | None, typer.Option(min=0, max=100, help="Per cent of the patients to learn from.")
    ] = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="Volumes of a step, on all devices.")] = None
    chunk_size: Annotated[
        int | None, typer.Option(min=1, help="Volumes a device keeps the graph of at once.")
    ] = None
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, order and all that is random.")] = None
    evaluate_every: Annotated[
        int | None, typer.Option(min=0, help="Steps between evaluations; 0 is never.")
    ] = None
    save_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")] = None
    log_every: Annotated[int | None, typer.Option(min=1, help="Steps between log lines.")] = None
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: a GPU if there is one.")] = None
    dtype: Annotated[Dtype, typer.Option(help="Of matrix products.")] = Dtype.FLOAT32
    sharding: Annotated[
        Sharding, typer.Option(help="Under torchrun: the model on every device, or divided among them.")
    ] = Sharding.DDP
    workers: Annotated[int, typer.Option(min=0, help="Processes that read ahead, beside each training.")] = 1
    cache: Annotated[
        Path | None, typer.Option(help="Folder of preprocessed volumes; default: in CTSEARCH_HOME.")
    ] = None
    keep: Annotated[
        bool, typer.Option("--keep/--no-cache", help="Keep preprocessed volumes for later epochs.")
    ] = True
    layout: Annotated[Format, typer.Option("--format", help="How the data is laid out.")] = Format.AUTO
    labels: Annotated[Path | None, typer.Option(help="Label table, 0/1 a finding.")] = None
    metadata: Annotated[Path | None, typer.Option(help="Metadata table, one row a volume.")] = None
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="The data is declared anonymous already: names are kept.")
    ] = False

    def changes(self) -> dict[str, Any]:
        """What of the run they change; None leaves it as it is."""
        return {
            "data": self.data,
            "data_share": None if self.data_share is None else self.data_share / 100,
            "batch_size": self.batch_size,
            "chunk_size": self.chunk_size,
            "seed": self.seed,
            "evaluate_every": self.evaluate_every,
            "save_every": self.save_every,
            "log_every": self.log_every,
        }

    def around_the_run(
        self, *, init: Path | None, text_encoder: Path | None = None, reports: Path | None = None
    ) -> "Options":
        """What does not change the run's result, and where it starts."""
        from retrieval.database_address import home
        from retrieval.datasets import Tables
        from training.examples import SourceOptions
        from training.whole_training import Options

        return Options(
            cache=(self.cache or home() / "volumes") if self.keep else None,
            workers=self.workers,
            source=SourceOptions(
                format=self.layout.value,
                tables=Tables(reports=reports, labels=self.labels, metadata=self.metadata),
                anonymous=self.anonymous,
            ),
            held_out=self.held_out,
            init=init,
            text_encoder=text_encoder,
            resume=self.resume,
        )

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """Join the other processes; the first one alone says how it goes."""
        import torch

        from training.distributed import training_place

        with training_place(self.device, getattr(torch, self.dtype.value), self.sharding.value) as place:
            level = logging.INFO if place.is_first else logging.WARNING
            logging.basicConfig(level=level, format="%(message)s")
            yield place


def say_written(card: "ModelCard", place: "Place") -> None:
    """Say where the model is."""
    if place.is_first:
        typer.echo(f"wrote {card.directory} ({card.digest[:12]})")


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Make the fields of `TrainingOptions` options of a command that takes them as its argument `options`.

    typer reads options off a signature; this one is the command's with `options` spelt out.
    """
    hints = get_type_hints(TrainingOptions, include_extras=True)
    common = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(TrainingOptions)
    ]
    own = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in inspect.signature(command).parameters.values()
        if each.name != "options"
    ]

    @wraps(command)
    def spelt_out(**given: Any) -> None:
        names = [parameter.name for parameter in common]
        command(options=TrainingOptions(**{name: given.pop(name) for name in names}), **given)

    parameters = [*own, *common]
    spelt_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spelt_out.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spelt_out
