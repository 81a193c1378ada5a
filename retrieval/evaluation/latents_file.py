"""Latents in an .npz, as `ctsearch collections export` or any other program writes them."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError, InputError
from retrieval.datasets.attach import plain_name
from retrieval.datasets.ct_rate import ct_rate_name
from retrieval.evaluation.pool import SECTIONS, Latents, Pool, ReportLatents, Section, first_names

Arrays = Mapping[str, NDArray[np.generic]]
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
    return pool_of(path.name, _read(path))


def pool_of(source: str, arrays: Arrays) -> Pool:
    """Make a pool of arrays of one length, its labels all unknown.

    Raises:
        DatasetError: an array is missing, or not of its shape and kind.
        InputError: a name stands twice, no study can be told, or a latent is not finite or zero.
    """
    missing = [name for name in ("name", "volume", "report") if name not in arrays]
    if missing:
        raise DatasetError(
            f"{source} has no array {' and no '.join(missing)} (there are {first_names(list(arrays), 8)}): "
            "name, volume and report are needed"
        )
    volume_NL = _latents(source, arrays, "volume", None)
    count = len(volume_NL)
    if not count:
        raise DatasetError(f"{source} holds no volume: give latents of the volumes to be evaluated")
    name_N = _names(source, arrays, "name", count)
    name_N = _told_apart(np.array([volume_name(str(name)) for name in name_N]), _datasets(arrays, count))
    _refuse_twice(source, name_N)
    study_N, patient_N = _whose(source, arrays, name_N)
    pool = Pool(
        source=source,
        name_N=name_N,
        study_N=study_N,
        patient_N=patient_N,
        volume_NL=volume_NL,
        reports={
            section: _reports(source, arrays, section, volume_NL)
            for section in SECTIONS
            if REPORT_ARRAYS[section] in arrays
        },
        present_NC=np.zeros((count, len(ABNORMALITIES)), bool),
        unknown=count * len(ABNORMALITIES),
        age_N=np.full(count, np.nan),
    )
    _refuse_unusable(pool, "volume", volume_NL, np.ones(count, bool))
    for section, reports in pool.reports.items():
        _refuse_unusable(pool, REPORT_ARRAYS[section], reports.latent_NL, reports.there_N)
    return pool


def volume_name(written: str) -> str:
    """Return the name a volume goes by: CT-RATE's without folders, any other as written, no file ending."""
    parsed = ct_rate_name(written)
    if parsed is None:
        return plain_name(written)
    return f"{parsed.study}_{parsed.reconstruction}" if parsed.reconstruction else parsed.study


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or error}): give an .npz file") from error
    except (
        ValueError,
        EOFError,
        TypeError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = "it holds pickled objects" if "pickle" in str(error) else "it is cut off or of another kind"
        raise DatasetError(
            f"{path} is not an .npz of plain arrays ({reason}): save names as text and latents as numbers"
        ) from error


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


def _names(source: str, arrays: Arrays, name: str, count: int) -> NDArray[np.str_]:
    stored = arrays[name]
    if stored.dtype.kind == "S":
        stored = np.char.decode(stored.astype(np.bytes_), "utf-8", "replace")
    if stored.dtype.kind not in "Uiu" or stored.shape != (count,):
        raise DatasetError(
            f"{source}: {name} is {stored.dtype} of shape {stored.shape} for {count} volumes: "
            f"{name} is one text a volume"
        )
    return stored.astype(np.str_)


def _datasets(arrays: Arrays, count: int) -> NDArray[np.str_] | None:
    """Return the data set of each volume, where there are several."""
    if "dataset" not in arrays or arrays["dataset"].shape != (count,):
        return None
    dataset_N = arrays["dataset"].astype(np.str_)
    return dataset_N if len(np.unique(dataset_N)) > 1 else None


def _told_apart(name_N: NDArray[np.str_], dataset_N: NDArray[np.str_] | None) -> NDArray[np.str_]:
    """Put the data set before names that two data sets share."""
    if dataset_N is None or len(np.unique(name_N)) == len(name_N):
        return name_N
    return np.array([f"{dataset}/{name}" for dataset, name in zip(dataset_N, name_N, strict=True)])


def _whose(
    source: str, arrays: Arrays, name_N: NDArray[np.str_]
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return the study and the patient of each volume; those of other data sets are others."""
    count = len(name_N)
    parsed = [ct_rate_name(str(name).rsplit("/", 1)[-1]) for name in name_N]
    whose = []
    for what, told in (
        ("study", [name and name.study for name in parsed]),
        ("patient", [name and name.patient for name in parsed]),
    ):
        if what in arrays:
            whose.append(_names(source, arrays, what, count))
        elif None not in told:
            whose.append(np.array(told))
        else:
            raise InputError(
                f"{source} has no array {what}, and {name_N[told.index(None)]} is not named as CT-RATE's "
                f"volumes are (valid_53_a_1): add {what}, one text a volume"
            )
    dataset_N = _datasets(arrays, count)
    if dataset_N is not None:
        whose = [np.array([f"{d}/{n}" for d, n in zip(dataset_N, of, strict=True)]) for of in whose]
    return whose[0], whose[1]


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


def _refuse_twice(source: str, name_N: NDArray[np.str_]) -> None:
    names, count = np.unique(name_N, return_counts=True)
    twice = [str(name) for name in names[count > 1]]
    if twice:
        raise InputError(
            f"{source} names {len(twice)} volumes more than once ({first_names(twice)}): keep one row of each"
        )


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
