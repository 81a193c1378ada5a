"""Rows of an .npz and whose they are: a name each, and its study and patient."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import DatasetError, InputError
from retrieval.datasets.attach import plain_name
from retrieval.datasets.ct_rate import ct_rate_name
from retrieval.datasets.rad_chestct import rad_chestct_name
from retrieval.evaluation.pool import first_names

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRows:
    """Unique names of N rows, and the study and the patient of each.

    Attributes:
        datasets: the data sets they are of, where the file says so.
    """

    name_N: NDArray[np.str_]
    study_N: NDArray[np.str_]
    patient_N: NDArray[np.str_]
    datasets: tuple[str, ...]


def read_arrays(path: Path) -> Arrays:
    """Read every array of an .npz; no pickle is ever loaded.

    Raises:
        DatasetError: it cannot be read, or holds anything but plain arrays.
    """
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
            f"{path} is not an .npz of plain arrays ({reason}): save names as text and the rest as numbers"
        ) from error


def named_rows(source: str, arrays: Arrays, count: int) -> NamedRows:
    """Read `name` and, where they are there, `study`, `patient` and `dataset`, each (N,).

    Names as CT-RATE's tell study and patient; a volume named as RAD-ChestCT's is both itself. What two data
    sets share a name for gets the data set before it.

    Raises:
        DatasetError: an array is not one text a row.
        InputError: a name stands twice, or no study or patient can be told.
    """
    dataset_N = _datasets(arrays, count)
    name_N = np.array([volume_name(str(name)) for name in _names(source, arrays, "name", count)])
    name_N = _told_apart(name_N, dataset_N)
    _refuse_twice(source, name_N)
    study_N, patient_N = _whose(source, arrays, name_N)
    datasets = () if dataset_N is None else tuple(np.unique(dataset_N).tolist())
    return NamedRows(name_N=name_N, study_N=study_N, patient_N=patient_N, datasets=datasets)


def require_arrays(source: str, arrays: Arrays, needed: Sequence[str]) -> None:
    """Refuse a file that lacks an array.

    Raises:
        DatasetError: one of `needed` is missing; those that are there are named.
    """
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise DatasetError(
            f"{source} has no array {' and no '.join(missing)} (there are {first_names(list(arrays), 8)}): "
            f"{', '.join(needed[:-1])} and {needed[-1]} are needed"
        )


def volume_name(written: str) -> str:
    """Return the name a volume goes by: CT-RATE's without folders, any other as written, no file ending."""
    parsed = ct_rate_name(written)
    if parsed is None:
        return plain_name(written)
    return f"{parsed.study}_{parsed.reconstruction}" if parsed.reconstruction else parsed.study


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
    """Return the data set of each volume, where the file says so."""
    if "dataset" not in arrays or arrays["dataset"].shape != (count,):
        return None
    return arrays["dataset"].astype(np.str_)


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
    told_N = [_told_by_name(str(name).rsplit("/", 1)[-1]) for name in name_N]
    whose = []
    for place, what in enumerate(("study", "patient")):
        told = [both and both[place] for both in told_N]
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
    if dataset_N is not None and len(np.unique(dataset_N)) > 1:
        whose = [np.array([f"{d}/{n}" for d, n in zip(dataset_N, of, strict=True)]) for of in whose]
    return whose[0], whose[1]


def _told_by_name(name: str) -> tuple[str, str] | None:
    """Return the study and the patient that a name tells."""
    parsed = ct_rate_name(name)
    if parsed is not None:
        return parsed.study, parsed.patient
    alone = rad_chestct_name(name)
    return None if alone is None else (alone, alone)


def _refuse_twice(source: str, name_N: NDArray[np.str_]) -> None:
    names, count = np.unique(name_N, return_counts=True)
    twice = [str(name) for name in names[count > 1]]
    if twice:
        raise InputError(
            f"{source} names {len(twice)} volumes more than once ({first_names(twice)}): keep one row of each"
        )
