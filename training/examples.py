"""Cases of a source as examples to learn from: one volume each, with its report and labels."""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from encoders.errors import ConfigError, DatasetError
from encoders.reports import ReportSections
from retrieval.archive_key import make_key
from retrieval.cases import Case, Report, Unreadable, Volume, VolumeFile
from retrieval.datasets import Source, SourceFormat, Tables, open_source
from retrieval.datasets.phantom import TRAINING_SEEDS, find_scan, phantom_case
from retrieval.datasets.phantom.patients import patient_scans
from retrieval.datasets.phantom.report import Statement, write_report
from training.batches import Pair
from training.short_texts import report_statements, short_text
from training.volume_cache import VolumeCache

Sections = Literal["both", "findings", "impression"]
Needs = Literal["report", "labels", "file"]
_PHANTOMS = re.compile(r"\d+(:\d+)?")
_NEEDED = {"report": "a file and a report", "labels": "a file and labels", "file": "a file"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One volume, what its report says, and the labels of its study that are known."""

    name: str
    patient: str
    study: str
    file: VolumeFile
    report: ReportSections
    labels: dict[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How a source is read, as for `ctsearch index`."""

    format: SourceFormat = "auto"
    tables: Tables = field(default_factory=Tables)
    anonymous: bool = False


def open_training_source(data: str, options: SourceOptions | None = None) -> Source:
    """Open a source of cases to learn from.

    Args:
        data: a folder as for `ctsearch index`; N or N:SEED for the scans of N phantom patients, whose seed is
            one of `TRAINING_SEEDS`.
        options: how a folder is read.

    Raises:
        ConfigError: the seed is not reserved for training: an archive may hold these phantoms.
        DatasetError: the folder is not in the layout it is said to be.
    """
    options = options or SourceOptions()
    if _PHANTOMS.fullmatch(data) and not Path(data).exists():
        return _training_phantoms(data)
    if options.format == "phantom":
        raise ConfigError(f'found --data "{data}"; give the number of patients, or N:SEED as in 6000:1000001')
    return open_source(
        data,
        format=options.format,
        tables=options.tables,
        anonymous=options.anonymous,
        key=None if options.anonymous else make_key(),
    )


def _training_phantoms(data: str) -> Source:
    count, _, seed = data.partition(":")
    number = int(seed) if seed else TRAINING_SEEDS.start
    if number not in TRAINING_SEEDS:
        raise ConfigError(
            f"seed {number} is not among those that training draws from; "
            f"choose one from {TRAINING_SEEDS.start} to {TRAINING_SEEDS.stop - 1}"
        )
    patients = int(count)
    return Source(
        dataset="phantom",
        anonymous=True,
        entries=lambda _removed, _warnings: _phantom_cases(patients, number),
        warnings=(f"phantoms of {patients} patients of seed {number} are drawn: no patients",),
    )


def _phantom_cases(patients: int, seed: int) -> Iterator[Case]:
    for patient in range(1, patients + 1):
        for scan in range(len(patient_scans(seed, patient))):
            yield phantom_case(seed, patient, scan)


def read_examples(
    source: Iterable[Case | Unreadable],
    *,
    sections: Sections = "both",
    share: float = 1.0,
    one_per_patient: bool = False,
    needs: Needs = "report",
) -> tuple[Example, ...]:
    """Read the volumes of a source that something is known of; how many there are is logged.

    Args:
        source: its cases.
        sections: of the report; where only one is asked for and it is empty, the volume is left out.
        share: of the patients, from 0 to 1; which ones, their names alone decide, and a smaller share is part
            of a larger one.
        one_per_patient: one volume of each patient, which one its name decides, in place of all.
        needs: what a volume must have; "file": nothing else.

    Raises:
        DatasetError: nothing is left.
    """
    found: list[Example] = []
    volumes = unreadable = 0
    for case in source:
        if isinstance(case, Unreadable):
            unreadable += 1
            continue
        volumes += len(case.volumes)
        found += _examples_of(case, sections, needs)
    kept = _share_of(found, share)
    if one_per_patient:
        kept = _one_per_patient(kept)
    _log.info(
        "%d of %d volumes are learnt from; %d have not %s, %d entries cannot be read",
        *(len(kept), volumes, volumes - len(found), _NEEDED[needs], unreadable),
    )
    if not kept:
        raise DatasetError(
            f"none of {volumes} volumes has {_NEEDED[needs]}: give the tables that belong to them, or "
            "another --data"
        )
    return tuple(kept)


def _examples_of(case: Case, sections: Sections, needs: Needs) -> Iterator[Example]:
    for volume in case.volumes:
        report = _sections_of(_report_of(case.reports, volume), sections)
        missing = {"report": not report.text, "labels": not case.labels, "file": False}[needs]
        if volume.file is not None and not missing:
            yield Example(
                name=volume.name,
                patient=case.patient,
                study=case.study,
                file=volume.file,
                report=report,
                labels=dict(case.labels),
            )


def _report_of(reports: Sequence[Report], volume: Volume) -> Report:
    """The report of a volume; where a study has several, the one of its name, else the first."""
    own = [report for report in reports if report.name == volume.name]
    return (own or list(reports) or [Report(name="")])[0]


def _sections_of(report: Report, sections: Sections) -> ReportSections:
    return ReportSections(
        findings=report.findings if sections != "impression" else "",
        impression=report.impression if sections != "findings" else "",
    )


def _share_of(examples: Sequence[Example], share: float) -> list[Example]:
    patients = sorted({one.patient for one in examples}, key=_digest)
    chosen = frozenset(patients[: round(share * len(patients))])
    return [one for one in examples if one.patient in chosen]


def _one_per_patient(examples: Sequence[Example]) -> list[Example]:
    chosen = []
    for patient, group in groupby(examples, key=lambda one: one.patient):
        of_patient = list(group)
        chosen.append(of_patient[int.from_bytes(_digest(patient)[:8]) % len(of_patient)])
    return chosen


def _digest(patient: str) -> bytes:
    return hashlib.sha256(patient.encode()).digest()


@dataclass(frozen=True)
class PairExamples:
    """Examples as pairs of a volume and texts; an epoch differs from the next in short texts and place.

    Attributes:
        examples: what there is.
        cache: reads their volumes.
        farthest_shift: voxels by which a volume is moved at most along each axis.
        seed: of what is random.
        short_texts: whether there are any.
    """

    examples: Sequence[Example]
    cache: VolumeCache
    farthest_shift: int = 0
    seed: int = 0
    short_texts: bool = True

    def __len__(self) -> int:
        return len(self.examples)

    def name(self, index: int) -> str:
        """The volume's."""
        return self.examples[index].name

    def load(self, index: int, epoch: int) -> Pair:
        """One pair.

        Raises:
            VolumeError: its volume cannot be read.
        """
        example = self.examples[index]
        rng = np.random.default_rng([self.seed, epoch, index])
        farthest = self.farthest_shift
        shift = tuple(int(s) for s in rng.integers(-farthest, farthest + 1, 3))
        statements = _statements(example) if self.short_texts else ()
        volume = self.cache.read(example.file)
        return Pair(
            volume_DHW=np.roll(volume, shift, (0, 1, 2)) if any(shift) else volume,
            study=example.study,
            report=example.report,
            short=short_text(statements, example.labels if self.short_texts else {}, rng),
            labels=example.labels,
        )


def _statements(example: Example) -> tuple[Statement, ...]:
    """The sentences of a report; of a phantom's it is known what they say."""
    if example.file.kind == "phantom":
        return _phantom_statements(example.file.uri)
    return report_statements(example.report)


@lru_cache(maxsize=1 << 15)  # each epoch asks for them again, and a scan is made up in 4 ms
def _phantom_statements(uri: str) -> tuple[Statement, ...]:
    return write_report(find_scan(uri)[0].scan).statements
