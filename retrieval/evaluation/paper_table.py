"""The paper's retrieval table: several models over the same volumes, each figure beside what chance gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoders.errors import InputError
from retrieval.evaluation.evaluate import Evaluation, EvaluationOptions, evaluate
from retrieval.evaluation.figures import DEFINITIONS, REPORT_KS, VOLUME_KS, FigurePath
from retrieval.evaluation.pool import Pool
from retrieval.evaluation.ranking import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One block of columns.

    Attributes:
        key: in the JSON and the CSV.
        title: for a person.
        path: of the figure, less K.
        floor: of what a random ranking gives, likewise.
    """

    key: str
    title: str
    path: FigurePath
    floor: FigurePath
    ks: tuple[int, ...]


MEASURES = (
    Measure(
        key="map",
        title="MAP, paper's IoU",
        path=("volume_to_volume", "map", "paper_iou"),
        floor=("volume_to_volume", "floor", "random", "map", "paper_iou"),
        ks=VOLUME_KS,
    ),
    Measure(
        key="script_cumulative",
        title="“MAP” of its script",
        path=("volume_to_volume", "script_cumulative"),
        floor=("volume_to_volume", "floor", "random", "script_cumulative"),
        ks=VOLUME_KS,
    ),
    Measure(
        key="recall",
        title="Report: recall",
        path=("report_to_volume", "recall"),
        floor=("report_to_volume", "floor", "random", "recall"),
        ks=REPORT_KS,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure; None where there is none, as the recall of a model that reads no text."""

    value: float | None
    random: float | None
    interval: tuple[float | None, float | None]

    @property
    def fold(self) -> float | None:
        """How many times as good as chance."""
        return None if self.value is None or not self.random else self.value / self.random


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetTable:
    """The models on one data set.

    Attributes:
        dataset: its name, or "" where the source does not tell.
        evaluations: by model, all over the same volumes.
        left_out: how many volumes of each were not in all the others.
    """

    dataset: str
    evaluations: dict[str, Evaluation]
    left_out: dict[str, int]

    def cell(self, model: str, measure: Measure, k: int) -> Cell:
        """One figure of one model."""
        evaluation = self.evaluations[model]
        at = (*measure.path, str(k))
        value = evaluation.figures.get(at)
        return Cell(
            value=value,
            random=None if value is None else evaluation.figures.get((*measure.floor, str(k))),
            interval=evaluation.intervals.get(at, (None, None)),
        )

    def has(self, measure: Measure) -> bool:
        """Whether any model has a figure of it."""
        return any(
            self.cell(model, measure, k).value is not None for model in self.evaluations for k in measure.ks
        )

    def random(self, measure: Measure, k: int) -> float | None:
        """What a random ranking gives."""
        found = (self.cell(model, measure, k).random for model in self.evaluations)
        return next((value for value in found if value is not None), None)

    def to_json(self) -> dict[str, Any]:
        """One element of `datasets` in `ctsearch evaluate table --json`."""
        first = next(iter(self.evaluations.values()))
        counts = first.pool.counts()
        return {
            "dataset": self.dataset,
            "pool": {name: counts[name] for name in ("volumes", "studies", "patients", "gallery")},
            "models": [self._model(model) for model in self.evaluations],
        }

    def _model(self, model: str) -> dict[str, Any]:
        figures: dict[str, Any] = {"model": model, "left_out": self.left_out[model]}
        for measure in MEASURES:
            cells = {str(k): self.cell(model, measure, k) for k in measure.ks}
            figures[measure.key] = {
                k: {
                    "value": cell.value,
                    "random": cell.random,
                    "fold": cell.fold,
                    "interval": list(cell.interval),
                }
                for k, cell in cells.items()
            }
        return figures


def paper_tables(
    models: Mapping[str, Mapping[str, Pool]], options: EvaluationOptions, progress: Progress | None = None
) -> list[DatasetTable]:
    """Score every model on every data set, on the volumes that all models with that data set have.

    Args:
        models: by name, their labelled latents by data set.
        options: of the evaluations.
        progress: told of each ranking.

    Raises:
        InputError: models of a data set share no volume, or as for `evaluate`.
        ConfigError: ir-measures is not installed.
    """
    datasets = dict.fromkeys(dataset for pools in models.values() for dataset in pools)
    return [
        _table(
            dataset, {model: of[dataset] for model, of in models.items() if dataset in of}, options, progress
        )
        for dataset in datasets
    ]


def table_rows(tables: Sequence[DatasetTable]) -> list[list[str]]:
    """The tables as rows of a CSV, a header first; chance has a row of its own in each data set."""
    columns = [(measure, k) for measure in MEASURES for k in measure.ks]
    rows = [["dataset", "model", *(f"{measure.key}@{k}" for measure, k in columns)]]
    for table in tables:
        for model in table.evaluations:
            values = [table.cell(model, measure, k).value for measure, k in columns]
            rows.append([table.dataset, model, *map(_written, values)])
        rows.append(
            [table.dataset, "random", *(_written(table.random(measure, k)) for measure, k in columns)]
        )
    return rows


def tables_json(tables: Sequence[DatasetTable], options: EvaluationOptions) -> dict[str, Any]:
    """What `ctsearch evaluate table --json` prints."""
    wanted = ("queries", "gallery", "similarity", "map.paper_iou", "script_cumulative", "recall")
    return {
        "datasets": [table.to_json() for table in tables],
        "interval": {"level": 0.95, "resamples": options.resamples, "by": "patient", "seed": options.seed},
        "definitions": {name: DEFINITIONS[name] for name in wanted},
    }


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(
    dataset: str, pools: Mapping[str, Pool], options: EvaluationOptions, progress: Progress | None
) -> DatasetTable:
    names = set.intersection(*(set(map(str, pool.name_N)) for pool in pools.values()))
    if not names:
        raise InputError(
            f"{' and '.join(pools)} have no volume in common: compare models over the same archive"
        )
    shared = {
        model: pool.at(np.flatnonzero([str(name) in names for name in pool.name_N]))
        for model, pool in pools.items()
    }
    return DatasetTable(
        dataset=dataset,
        evaluations={model: evaluate(pool, options, progress) for model, pool in shared.items()},
        left_out={model: pool.left_out for model, pool in shared.items()},
    )
