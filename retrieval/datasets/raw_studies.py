"""Studies as a hospital's files and tables name them, and how they become cases that may be stored."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from retrieval.cases import Acquisition, Case, Report, Volume, VolumeFile
from retrieval.deidentify import PseudonymKey, PseudonymKind
from retrieval.deidentify_dicom import clear_acquisition
from retrieval.deidentify_text import KnownIdentity, scrub_report


@dataclass(frozen=True, slots=True)
class RawName:
    """What identifies something in its source, and what people call it."""

    key: str  # identity: pseudonyms are made of it
    shown: str  # the name of an anonymous source


@dataclass(frozen=True, slots=True, kw_only=True)
class RawVolume:
    """A volume under its source's name."""

    name: RawName
    file: VolumeFile | None
    acquisition: Acquisition = field(default_factory=Acquisition)
    is_cleared: bool = False  # the acquisition came through an allow-list already
    identity: Mapping[str, str] = field(default_factory=dict)  # what leads back to it: path, series UID


@dataclass(slots=True, kw_only=True)
class RawStudy:
    """A study under its source's names; reports and labels are added as tables are read."""

    dataset: str
    patient: RawName
    study: RawName
    examined: date | None = None
    split: str | None = None
    volumes: list[RawVolume] = field(default_factory=list)
    reports: list[tuple[RawName, Report]] = field(default_factory=list)
    labels: dict[str, bool] = field(default_factory=dict)
    known: KnownIdentity = field(default_factory=KnownIdentity)
    identity: dict[str, str] = field(default_factory=dict)
    removed: Counter[str] = field(default_factory=Counter)  # what its headers lost already

    @property
    def whose(self) -> tuple[str, str]:
        """The patient, as studies are grouped by it."""
        return (self.dataset, self.patient.key)


def release(
    studies: Iterable[RawStudy], *, key: PseudonymKey | None, removed: Counter[str]
) -> Iterator[Case]:
    """Yield the cases of studies, patient by patient, each with its day since the patient's first study.

    Args:
        studies: all of them, because any may be a patient's first.
        key: names become pseudonyms of it, and texts are scrubbed; None keeps both as the source has them.
        removed: counts what was taken out, by kind.
    """
    studies = list(studies)
    first: dict[tuple[str, str], date] = {}
    for study in studies:
        if study.examined is not None:
            first[study.whose] = min(study.examined, first.get(study.whose, study.examined))
    for study in studies:
        first_date = first.get(study.whose)
        day = None if study.examined is None or first_date is None else (study.examined - first_date).days
        if key is None:
            yield _as_named(study, day)
        else:
            yield _deidentified(study, day, first_date, key, removed)


def _as_named(study: RawStudy, day: int | None) -> Case:
    return Case(
        dataset=study.dataset,
        patient=study.patient.shown,
        study=study.study.shown,
        split=study.split,
        day=day,
        volumes=tuple(
            Volume(name=volume.name.shown, file=volume.file, acquisition=volume.acquisition)
            for volume in study.volumes
        ),
        reports=tuple(replace(report, name=name.shown) for name, report in study.reports),
        labels=study.labels,
    )


def _deidentified(
    study: RawStudy, day: int | None, first: date | None, key: PseudonymKey, removed: Counter[str]
) -> Case:
    def pseudonym(kind: PseudonymKind, name: RawName) -> str:
        return key.pseudonym(kind, study.dataset, name.key)

    volumes = []
    identity = {**study.identity, "patient": study.patient.shown, "study": study.study.shown}
    for volume in study.volumes:
        name = pseudonym("volume", volume.name)
        acquisition = volume.acquisition
        if not volume.is_cleared:
            acquisition, lost = clear_acquisition(acquisition, study.known)
            removed += lost
        volumes.append(Volume(name=name, file=volume.file, acquisition=acquisition))
        identity |= {f"{name}.{what}": value for what, value in volume.identity.items()}
    reports = []
    for raw_name, report in study.reports:
        scrubbed, lost = scrub_report(report, known=study.known, first_study=first)
        name = pseudonym("report", raw_name)
        reports.append(replace(scrubbed, name=name))
        identity[f"{name}.name"] = raw_name.shown
        removed += lost
    removed += study.removed
    if study.examined is not None and first is not None:
        identity |= {"study_date": study.examined.isoformat(), "first_study_date": first.isoformat()}
    return Case(
        dataset=study.dataset,
        patient=pseudonym("patient", study.patient),
        study=pseudonym("study", study.study),
        split=study.split,
        day=day,
        volumes=tuple(volumes),
        reports=tuple(reports),
        labels=study.labels,
        identity=identity,
    )
