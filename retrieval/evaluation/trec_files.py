"""Runs and qrels in TREC's format, so that other programs can score the same rankings.

A run's line is `query Q0 document rank score tag`, a qrels' line `query 0 document relevance`. Programs order
a run by score and break ties by name: the score is the number of ranks left, so that the order stays ours.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from retrieval.atomic_file import written_atomically
from retrieval.evaluation.evaluate import Evaluation
from retrieval.evaluation.figures import REPORT_KS
from retrieval.evaluation.pairs import Places, members_of
from retrieval.evaluation.patterns import patterns
from retrieval.evaluation.pool import Pool, coded, unit_rows
from retrieval.evaluation.ranking import Progress, nearest

MOST_PAIRS = 10_000_000
"""Relevant pairs of volumes that are written out; more would fill a disk (47,149 volumes have 10^9)."""


def write_trec_files(evaluation: Evaluation, folder: Path, progress: Progress | None = None) -> list[str]:
    """Write the runs and qrels of an evaluation, and return the names of the files.

    The qrels of volume to volume hold every relevant volume of the gallery up to MOST_PAIRS pairs. Beyond,
    they hold those of the run alone and are called `volume_to_volume.retrieved.qrels`: good for precision,
    not for what divides by all that is relevant.

    Raises:
        StorageError: a file cannot be written.
    """
    pool = evaluation.pool
    names = [_word(str(name)) for name in pool.name_N]
    complete = int(evaluation.volumes.found.relevant.sum()) <= MOST_PAIRS
    relevant = _relevant_pairs(pool) if complete else _retrieved_pairs(evaluation)
    asking, own = _reports_and_own(evaluation)
    files = {
        "volume_to_volume.run": _run(names, names, evaluation.volumes.neighbours.place_QK),
        f"volume_to_volume{'' if complete else '.retrieved'}.qrels": _qrels(names, relevant),
        "report_to_volume.run": _run(
            [names[row] for row in asking], names, _nearest_volumes(evaluation, progress)
        ),
        "report_to_volume.qrels": _qrels(names, [(asking, asking)]),
        "report_to_volume.by_study.qrels": _qrels(names, [own]),
    }
    for name, lines in files.items():
        with written_atomically(folder / name) as stream:
            stream.writelines(line.encode() for line in lines)
    return list(files)


def _relevant_pairs(pool: Pool) -> Iterator[tuple[Places, Places]]:
    """Yield every query with each volume of its gallery that shares a finding, a query at a time."""
    label_N, study_N = patterns(pool.present_NC), coded(pool.study_N)
    for query in range(len(label_N)):
        found = np.flatnonzero((label_N & label_N[query] != 0) & (study_N != study_N[query]))
        yield np.full(len(found), query), found


def _retrieved_pairs(evaluation: Evaluation) -> Iterator[tuple[Places, Places]]:
    rows, ranks = np.nonzero(evaluation.volumes.iou_NK > 0)
    yield rows, evaluation.volumes.neighbours.place_QK[rows, ranks]


def _reports_and_own(evaluation: Evaluation) -> tuple[Places, tuple[Places, Places]]:
    """Return the rows that have a report, and each of them with every volume of its study."""
    asking = evaluation.reports[evaluation.options.section].asking
    study_N = coded(evaluation.pool.study_N)
    rows, members = members_of(study_N[asking], study_N)
    return asking, (asking[rows], members)


def _nearest_volumes(evaluation: Evaluation, progress: Progress | None) -> Places:
    pool = evaluation.pool
    reports = pool.reports[evaluation.options.section]
    (ranked,) = nearest(
        unit_rows(reports.latent_NL[reports.there_N]),
        unit_rows(pool.volume_NL),
        REPORT_KS[-1],
        study_G=coded(pool.study_N),
        ties=(coded(pool.name_N),),
        step="report to volume, the run",
        progress=progress,
    )
    return ranked.place_QK


def _run(queries: list[str], names: list[str], place_QK: NDArray[np.intp]) -> Iterator[str]:
    depth = place_QK.shape[1]
    for query, places in zip(queries, place_QK.tolist(), strict=True):
        for rank, place in enumerate(places, start=1):
            if place >= 0:
                yield f"{query} Q0 {names[place]} {rank} {depth - rank + 1} ctsearch\n"


def _qrels(names: list[str], pairs: Iterable[tuple[Places, Places]]) -> Iterator[str]:
    for rows, places in pairs:
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            yield f"{names[row]} 0 {names[place]} 1\n"


def _word(name: str) -> str:
    """Return a name without spaces, which would end it."""
    return re.sub(r"\s", lambda found: quote(found[0]), name)
