"""Latents in an .npz, as `ctsearch collections export` or any other program writes them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError, InputError
from retrieval.evaluation.named_rows import Arrays, named_rows, read_arrays, require_arrays
from retrieval.evaluation.pool import SECTIONS, Latents, Pool, ReportLatents, Section, first_names

REPORT_ARRAYS: dict[Section, str] = {
    "both": "report",
    "findings": "report_findings",
    "impression": "report_impression",
}


def read_latents_file(path: Path) -> Pool:
    """Read an .npz as a pool whose labels are all unknown.

    `name` (N,), `volume` and `report` (N, L). Optionally `study`, `patient` and `dataset` (N,), else names as
    CT-RATE's tell study and patient; `has_report` (N,), else a row of zeros is no report; `report_findings`
    and `report_impression` (N, L), a row of zeros standing for no such section.

    Raises:
        DatasetError: it cannot be read, lacks an array, or an array is not of its shape and kind.
        InputError: as for `pool_of`.
    """
    return pool_of(path.name, read_arrays(path))


def pool_of(source: str, arrays: Arrays) -> Pool:
    """Make a pool of arrays of one length, its labels all unknown.

    Raises:
        DatasetError: an array is missing, or not of its shape and kind.
        InputError: a name stands twice, no study can be told, or a latent is not finite or zero.
    """
    require_arrays(source, arrays, ("name", "volume", "report"))
    volume_NL = _latents(source, arrays, "volume", None)
    count = len(volume_NL)
    if not count:
        raise DatasetError(f"{source} holds no volume: give latents of the volumes to be evaluated")
    named = named_rows(source, arrays, count)
    pool = Pool(
        source=source,
        name_N=named.name_N,
        study_N=named.study_N,
        patient_N=named.patient_N,
        datasets=named.datasets,
        volume_NL=volume_NL,
        reports={
            section: _reports(source, arrays, section, volume_NL)
            for section in SECTIONS
            if REPORT_ARRAYS[section] in arrays
        },
        present_NC=np.zeros((count, len(ABNORMALITIES)), bool),
        known_NC=np.zeros((count, len(ABNORMALITIES)), bool),
        age_N=np.full(count, np.nan),
    )
    _refuse_unusable(pool, "volume", volume_NL, np.ones(count, bool))
    for section, reports in pool.reports.items():
        _refuse_unusable(pool, REPORT_ARRAYS[section], reports.latent_NL, reports.there_N)
    return pool


def _latents(source: str, arrays: Arrays, name: str, like: Latents | None) -> Latents:
    stored = arrays[name]
    if stored.ndim != 2 or stored.dtype.kind not in "fiu" or not stored.shape[1]:
        raise DatasetError(
            f"{source}: {name} is {stored.dtype} of shape {stored.shape}: latents are numbers of shape (N, L)"
        )
    if like is not None and stored.shape != like.shape:
        raise DatasetError(
            f"{source}: {name} has shape {stored.shape} and volume {like.shape}: both have a row "
            "a volume, and latents of one length"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as that
        latents: Latents = stored.astype(np.float32)
    return latents


def _reports(source: str, arrays: Arrays, section: Section, volume_NL: Latents) -> ReportLatents:
    latent_NL = _latents(source, arrays, REPORT_ARRAYS[section], volume_NL)
    there_N: NDArray[np.bool_] = np.asarray(latent_NL.any(axis=1))
    if section == "both" and "has_report" in arrays:
        stored = arrays["has_report"]
        if stored.shape != there_N.shape or stored.dtype.kind not in "bui":
            raise DatasetError(
                f"{source}: has_report is {stored.dtype} of shape {stored.shape}: it is one yes or no "
                "a volume"
            )
        there_N = stored.astype(bool)
    return ReportLatents(latent_NL=np.where(there_N[:, None], latent_NL, np.float32(0)), there_N=there_N)


def _refuse_unusable(pool: Pool, array: str, latent_NL: Latents, there_N: NDArray[np.bool_]) -> None:
    unusable = {
        "not finite": ~np.isfinite(latent_NL).all(axis=1),
        "all zeros": ~latent_NL.any(axis=1),
    }
    for what, rows in unusable.items():
        names = [str(name) for name in pool.name_N[rows & there_N]]
        if names:
            raise InputError(
                f"{pool.source}: the {array} latents of {len(names)} volumes are {what} "
                f"({first_names(names)}): encode them again or take their rows out"
            )
