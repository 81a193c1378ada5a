"""Labels and ages of a pool's volumes, from tables as CT-RATE publishes them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError, InputError, SearchError
from retrieval.acquisition import age_in_years
from retrieval.datasets.columns import AGE, NAME, PLACE_MARK, finding_columns
from retrieval.datasets.rad_chestct import CALCIFICATION, CALCIFICATIONS, LabelReader
from retrieval.datasets.tables import Row, Table, cell, read_table, rows_by_name
from retrieval.evaluation.named_rows import volume_name
from retrieval.evaluation.pool import Pool, first_names, label_arrays
from retrieval.findings import abnormality_named


def with_labels(pool: Pool, path: Path, *, leave_out: bool = False, say_missing: bool = True) -> Pool:
    """Return a pool with the labels of a table: a row a volume, or a study.

    Args:
        pool: without labels.
        path: CSV with a column of names and one for each finding, in any order; other names of the findings
            will do, and so does RAD-ChestCT's release with its finding*place. Empty cells, -1 and columns
            that are missing mean unknown.
        leave_out: leave out volumes that have no row, instead of refusing the table.
        say_missing: warn that findings without a column count as absent.

    Raises:
        DatasetError: the table cannot be read, has no such column, or contradicts itself.
        InputError: volumes have no row.
    """
    table = read_table(path)
    rows, warnings = _rows(table)
    named = zip(pool.name_N.tolist(), pool.study_N.tolist(), strict=True)
    found = [rows.get(name) or rows.get(study) for name, study in named]
    labelled = np.array([row is not None for row in found])
    if not labelled.all():
        without = [str(name) for name in pool.name_N[~labelled]]
        if not leave_out or not labelled.any():
            raise InputError(
                f"{path.name} has no row for {len(without)} of {len(pool.name_N)} volumes of {pool.source} "
                f"({first_names(without)}): add their rows, or leave the volumes out with --skip-unlabelled"
            )
        warnings.append(f"{len(without)} volumes without a row in {path.name} were left out")
        pool = pool.at(np.flatnonzero(labelled))
    reader = _reader(table)
    absent = [finding for finding in ABNORMALITIES if finding not in reader.findings]
    if absent and say_missing:
        warnings.append(f"{path.name} has no column for {', '.join(absent)}: these count as absent")
    present_NC, known_NC = label_arrays([reader.read(table, row) for row in found if row is not None])
    return replace(
        pool,
        present_NC=present_NC,
        known_NC=known_NC,
        left_out=0,
        warnings=(*pool.warnings, *warnings),
    )


def with_ages(pool: Pool, path: Path) -> Pool:
    """Return a pool with the ages of a metadata table; volumes without a row or an age have none.

    Raises:
        DatasetError: the table cannot be read, or has no column of names or of ages.
    """
    table = read_table(path)
    place = table.require(AGE, "the patient's age")
    rows, warnings = _rows(table)
    ages = [age_in_years(cell(rows.get(str(name)), place)) for name in pool.name_N]
    return replace(
        pool,
        age_N=np.array([np.nan if age is None else age for age in ages]),
        warnings=(*pool.warnings, *warnings),
    )


def _rows(table: Table) -> tuple[dict[str, Row], list[str]]:
    place = table.require(NAME, "the name of the volume")
    keys = [volume_name(cell(row, place)) if cell(row, place) else None for row in table.rows]
    rows, clashes, repeated = rows_by_name(table, keys)
    if clashes:
        raise DatasetError(clashes[0].error)
    return rows, [*table.warnings, *repeated]


def _reader(table: Table) -> LabelReader:
    if any(PLACE_MARK in column for column in table.columns):
        return LabelReader.of(table)
    return LabelReader(_columns(table), {})


def _columns(table: Table) -> dict[str, int]:
    """Return the column of each finding, by its own name first, else by another that people use for it."""
    named = {finding: place for finding in ABNORMALITIES if (place := table.find((finding,))) is not None}
    others: dict[str, list[int]] = {}
    for place, column in enumerate(table.columns):
        finding = _finding(column)
        if finding is not None and finding not in named:
            others.setdefault(finding, []).append(place)
    for finding, places in others.items():
        if len(places) > 1:
            columns = " and ".join(table.columns[place] for place in places)
            raise DatasetError(f"{table.path} has the columns {columns} for {finding}: keep one of them")
        named[finding] = places[0]
    either = table.find((CALCIFICATION,))  # as the published evaluation on RAD-ChestCT names both in one
    if either is not None:
        named = dict.fromkeys(CALCIFICATIONS, either) | named
    if not named:
        return finding_columns(table)  # which says what is missing
    return {finding: named[finding] for finding in ABNORMALITIES if finding in named}


def _finding(column: str) -> str | None:
    try:
        return abnormality_named(column)
    except SearchError:
        return None
