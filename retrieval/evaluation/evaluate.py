"""All figures of a pool, and of two pools side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InputError
from retrieval.evaluation.figures import DEFINITIONS, FigurePath, means, nested, number
from retrieval.evaluation.pool import Pool, Section, coded, shared_pools
from retrieval.evaluation.ranking import Progress
from retrieval.evaluation.report_to_volume import (
    ReportRankings,
    rank_reports,
    report_floors,
    report_values,
    script_recall,
)
from retrieval.evaluation.resampling import LEVEL, bootstrap_intervals, permutation_p
from retrieval.evaluation.trec import require_ir_measures
from retrieval.evaluation.volume_to_volume import (
    VolumeRankings,
    rank_volumes,
    script_cumulative,
    volume_floors,
    volume_values,
)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """How a pool is scored."""

    section: Section = "both"  # which latents stand for a report in `report_to_volume`
    resamples: int = 1000
    permutations: int = 10_000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A scored pool.

    Attributes:
        pool: what was scored.
        volumes: the rankings behind `volume_to_volume`.
        reports: those behind `report_to_volume`, by section.
        values: each query's value of every figure that is a mean over queries, by its path in the JSON.
        figures: the same figures, the published script's, and the floors.
        intervals: lower and upper end for each of `values`.
    """

    pool: Pool
    options: EvaluationOptions
    volumes: VolumeRankings
    reports: Mapping[Section, ReportRankings]
    values: Mapping[FigurePath, Values]
    figures: Mapping[FigurePath, float | None]
    intervals: Mapping[FigurePath, tuple[float | None, float | None]]

    def to_json(self) -> dict[str, Any]:
        """What `ctsearch evaluate retrieval --json` prints without --against."""
        about = {
            "level": LEVEL,
            "resamples": self.options.resamples,
            "by": "patient",
            "seed": self.options.seed,
        }
        ends = nested({path: list(interval) for path, interval in self.intervals.items()})
        return {
            "pool": self.pool.counts(),
            **nested(self.figures),
            "report_section": self.options.section,
            "interval": {**about, **ends},
            "definitions": DEFINITIONS,
            "warnings": list(self.pool.warnings),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two pools of the same volumes, scored side by side.

    Attributes:
        first, other: both cut to the volumes they share.
        difference: first less other, by path.
        intervals: of the differences.
        p: of the paired permutation test.
    """

    first: Evaluation
    other: Evaluation
    difference: Mapping[FigurePath, float | None]
    intervals: Mapping[FigurePath, tuple[float | None, float | None]]
    p: Mapping[FigurePath, float | None]

    def to_json(self) -> dict[str, Any]:
        """What `ctsearch evaluate retrieval --json` prints with --against."""
        other = self.other.to_json()
        compared = {
            path: {
                "difference": self.difference[path],
                "interval": list(self.intervals[path]),
                "p": self.p[path],
            }
            for path in self.difference
        }
        against = {name: other[name] for name in ("pool", "volume_to_volume", "report_to_volume", "interval")}
        about = {"permutations": self.first.options.permutations, "by": "patient"}
        return {
            **self.first.to_json(),
            "against": against,
            "comparison": {**about, "seed": self.first.options.seed, **nested(compared)},
        }


def evaluate(pool: Pool, options: EvaluationOptions, progress: Progress | None = None) -> Evaluation:
    """Score a pool.

    Raises:
        InputError: nothing can be found in it, or it has no latents of the section that is asked for.
        ConfigError: ir-measures is not installed.
    """
    require_ir_measures()  # before the work that would be in vain
    pool.require_comparable()
    if options.section not in pool.reports:
        raise InputError(
            f"{pool.source} has no report latents of {options.section} alone "
            f"(there are those of {', '.join(pool.reports)}): add an array report_{options.section}"
        )
    volumes = rank_volumes(pool, progress)
    reports = {
        section: rank_reports(pool, latents, progress, f"{section} to volume")
        for section, latents in pool.reports.items()
    }
    values = {("volume_to_volume", *path): of for path, of in volume_values(volumes).items()}
    for place, section in _report_places(pool, options):
        values |= {(*place, *path): of for path, of in report_values(reports[section]).items()}
    return Evaluation(
        pool=pool,
        options=options,
        volumes=volumes,
        reports=reports,
        values=values,
        figures=_figures(pool, options, volumes, reports, values),
        intervals=_intervals(values, pool, options),
    )


def compare(
    first: Pool, other: Pool, options: EvaluationOptions, progress: Progress | None = None
) -> Comparison:
    """Score two pools on the volumes they share, each in its own space, and test the differences.

    Raises:
        InputError: they share no volume, or as for `evaluate`.
    """
    first, other = shared_pools(first, other)
    one, two = evaluate(first, options, progress), evaluate(other, options, progress)
    paths = [path for path in one.values if path in two.values]
    differences = {path: one.values[path] - two.values[path] for path in paths}
    p = permutation_p(
        np.stack(list(differences.values()), axis=1),
        coded(first.patient_N),
        options.permutations,
        options.seed,
    )
    return Comparison(
        first=one,
        other=two,
        difference=means(differences),
        intervals=_intervals(differences, first, options),
        p={
            path: None if np.isnan(differences[path]).all() else number(p[column])
            for column, path in enumerate(paths)
        },
    )


def _report_places(pool: Pool, options: EvaluationOptions) -> list[tuple[FigurePath, Section]]:
    """Return where the figures of each section go: the one asked for first, then all beside it."""
    sections = [(("report_to_volume", "sections", section), section) for section in pool.reports]
    return [(("report_to_volume",), options.section), *(sections if len(sections) > 1 else [])]


def _figures(
    pool: Pool,
    options: EvaluationOptions,
    volumes: VolumeRankings,
    reports: Mapping[Section, ReportRankings],
    values: Mapping[FigurePath, Values],
) -> dict[FigurePath, float | None]:
    figures = dict(means(values))
    for path, value in script_cumulative(volumes).items():
        figures["volume_to_volume", "script_cumulative", *path] = value
    figures |= {("volume_to_volume", *path): value for path, value in volume_floors(volumes).items()}
    for place, section in _report_places(pool, options):
        for path, recall in script_recall(reports[section]).items():
            figures[*place, "script_recall", *path] = recall
        figures |= {(*place, *path): value for path, value in report_floors(reports[section]).items()}
    return figures


def _intervals(
    values: Mapping[FigurePath, Values], pool: Pool, options: EvaluationOptions
) -> dict[FigurePath, tuple[float | None, float | None]]:
    ends = bootstrap_intervals(
        np.stack(list(values.values()), axis=1), coded(pool.patient_N), options.resamples, options.seed
    )
    return {path: (number(low), number(high)) for path, (low, high) in zip(values, ends, strict=True)}
