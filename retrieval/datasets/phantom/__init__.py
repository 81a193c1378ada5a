"""The phantom cohort: synthetic chest CTs with reports and labels, for demonstrations and tests only.

Everything is drawn from a seed. `phantom_cohort` yields cases, `draw_volume` draws the voxels of one of them.
"""

from retrieval.datasets.phantom.cohort import (
    GENERATOR_VERSION,
    SHOWN_MM,
    TRAINING_SEEDS,
    describe_cohort,
    draw_volume,
    find_scan,
    parse_source,
    phantom_case,
    phantom_cohort,
    phantom_report,
)

__all__ = [
    "GENERATOR_VERSION",
    "SHOWN_MM",
    "TRAINING_SEEDS",
    "describe_cohort",
    "draw_volume",
    "find_scan",
    "parse_source",
    "phantom_case",
    "phantom_cohort",
    "phantom_report",
]
