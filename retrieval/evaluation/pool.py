"""The volumes that are evaluated: their latents, their findings, and whose they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import InputError

Latents = NDArray[np.float32]
Codes = NDArray[np.int64]
Section = Literal["both", "findings", "impression"]
SECTIONS: tuple[Section, ...] = ("both", "findings", "impression")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLatents:
    """The latents of each volume's report, or of one section of it.

    Attributes:
        latent_NL: float32, as stored; zeros where there is none.
        there_N: whether the volume's study has one.
    """

    latent_NL: Latents
    there_N: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Volumes in the order of their source.

    Attributes:
        source: a collection's name or a file's.
        name_N: unique names.
        study_N, patient_N: whose they are, by name.
        volume_NL: float32, as stored; nowhere zero. (N, 0) where scores are all there is.
        reports: by section; "both" is the whole report.
        present_NC: findings that are present; False where it is not known.
        known_NC: whether that is known; retrieval counts unknown as absent, detection leaves it out.
        age_N: years, NaN where unknown.
        warnings: sentences for a person.
    """

    source: str
    name_N: NDArray[np.str_]
    study_N: NDArray[np.str_]
    patient_N: NDArray[np.str_]
    volume_NL: Latents
    reports: Mapping[Section, ReportLatents]
    present_NC: NDArray[np.bool_]
    known_NC: NDArray[np.bool_]
    age_N: NDArray[np.float64]
    datasets: tuple[str, ...] = ()  # where the source says so
    warnings: tuple[str, ...] = ()
    left_out: int = 0  # volumes that the other pool of a comparison lacks
    by_name: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = {str(name): place for place, name in enumerate(self.name_N)}
        object.__setattr__(self, "by_name", places)

    @property
    def unknown(self) -> int:
        """How many of the N x C labels are not known."""
        return int((~self.known_NC).sum())

    @property
    def is_phantom(self) -> bool:
        """Whether it holds synthetic scans, whose figures say nothing of patients."""
        return "phantom" in self.datasets or any(str(name).startswith("phantom_") for name in self.name_N)

    @property
    def called(self) -> str:
        """Its source as figures and tables show it."""
        return f"phantom {self.source}" if self.is_phantom else self.source

    def require_comparable(self) -> None:
        """Refuse a pool in which nothing can be found.

        Raises:
            InputError: it has one study alone, or no volume with a finding.
        """
        if len(np.unique(self.study_N)) < 2:
            raise InputError(
                f"{self.source} holds {len(self.name_N)} volumes of one study: retrieval needs volumes of "
                "two studies at least, since a query's own study is left out"
            )
        if not self.present_NC.any():
            raise InputError(
                f"no label of {self.source} is 1, so nothing can be found: check the label table's columns"
            )

    def at(self, rows: NDArray[np.intp]) -> "Pool":
        """Return some of the volumes, in the order given."""
        reports = {
            section: ReportLatents(latent_NL=of.latent_NL[rows], there_N=of.there_N[rows])
            for section, of in self.reports.items()
        }
        return replace(
            self,
            name_N=self.name_N[rows],
            study_N=self.study_N[rows],
            patient_N=self.patient_N[rows],
            volume_NL=self.volume_NL[rows],
            reports=reports,
            present_NC=self.present_NC[rows],
            known_NC=self.known_NC[rows],
            age_N=self.age_N[rows],
            left_out=len(self.name_N) - len(rows),
        )

    def counts(self) -> dict[str, Any]:
        """What `pool` says in the JSON."""
        labelled = int(self.present_NC.any(axis=1).sum())
        return {
            "source": self.source,
            "volumes": len(self.name_N),
            "studies": len(np.unique(self.study_N)),
            "patients": len(np.unique(self.patient_N)),
            "gallery": labelled,
            "labelled_volumes": labelled,
            "reports": {section: int(of.there_N.sum()) for section, of in self.reports.items()},
            "unknown_labels": self.unknown,
            "phantom": self.is_phantom,
            "left_out": self.left_out,
        }


def label_arrays(rows: Sequence[Mapping[str, bool]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what is present and what is known, each (N, C), of a row of labels a volume."""
    present_NC = np.array([[row.get(finding, False) for finding in ABNORMALITIES] for row in rows], bool)
    known_NC = np.array([[finding in row for finding in ABNORMALITIES] for row in rows], bool)
    return present_NC, known_NC


def shared_pools(first: Pool, other: Pool) -> tuple[Pool, Pool]:
    """Return both pools cut to the volumes they share, in the first one's order, judged by its labels.

    A report is a query in both or in neither. Studies, patients, labels and ages are the first one's.

    Raises:
        InputError: they share no volume.
    """
    rows = np.array([place for name, place in first.by_name.items() if name in other.by_name], np.intp)
    if not len(rows):
        raise InputError(
            f"{first.source} and {other.source} have no volume name in common "
            f"({first.name_N[0]} … and {other.name_N[0]} …): compare latents of the same archive"
        )
    kept = first.at(rows)
    same = other.at(np.array([other.by_name[str(name)] for name in kept.name_N], np.intp))
    same = replace(
        same,
        study_N=kept.study_N,
        patient_N=kept.patient_N,
        present_NC=kept.present_NC,
        known_NC=kept.known_NC,
        age_N=kept.age_N,
    )
    both = {
        section: kept.reports[section].there_N & same.reports[section].there_N
        for section in kept.reports
        if section in same.reports
    }
    return _asking(kept, both), _asking(same, both)


def _asking(pool: Pool, there: Mapping[Section, NDArray[np.bool_]]) -> Pool:
    reports = {section: replace(pool.reports[section], there_N=there_N) for section, there_N in there.items()}
    return replace(pool, reports=reports)


def unit_rows(latent_NL: Latents) -> Latents:
    """Return rows at length 1, computed in float64; rows of zeros stay."""
    lengths = np.linalg.norm(latent_NL.astype(np.float64), axis=1)
    lengths[lengths == 0] = 1.0
    unit: Latents = (latent_NL / lengths[:, None]).astype(np.float32)
    return unit


def coded(names_N: NDArray[np.str_]) -> Codes:
    """Return a number for each distinct name, in their order."""
    codes: Codes = np.unique(names_N, return_inverse=True)[1].astype(np.int64)
    return codes


def first_names(names: Sequence[str], most: int = 3) -> str:
    """Return a few names for the reader of an error."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
