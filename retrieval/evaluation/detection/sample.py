"""What scores are judged by: which findings, which labels are known, which patients choose thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import ConfigError, InputError
from retrieval.datasets.rad_chestct import CALCIFICATION, CALCIFICATIONS, rad_chestct_name
from retrieval.evaluation.detection.measures import Flags, Values
from retrieval.evaluation.detection.thresholds import drawn_patients
from retrieval.evaluation.pool import Codes, Pool, coded

FindingSet = Literal["auto", "ct-rate", "rad-chestct"]
NOT_IN_RAD_CHESTCT = "Mosaic attenuation pattern"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The judged side of a pool, which every model and every prompt has in common.

    Attributes:
        finding_set: "ct-rate" or "rad-chestct".
        findings: F names, in the order of the 18.
        columns: of the 18, which make up each finding; of several the largest score counts.
        present_NF, known_NF: labels; unknown ones count nowhere.
        patient_N: numbered.
        tuned_N: whether the volume chooses thresholds; the others are scored.
        left_out: why a finding is not among them.
    """

    finding_set: FindingSet
    findings: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]
    present_NF: Flags
    known_NF: Flags
    patient_N: Codes
    tuned_N: Flags
    left_out: Mapping[str, str]

    def scores(self, score_NC: Values) -> Values:
        """Return the scores (N, F) of the findings from those of the 18."""
        return np.stack([score_NC[:, list(columns)].max(axis=1) for columns in self.columns], axis=1)


def parse_finding_set(text: str) -> FindingSet:
    """Read the name of a set of findings.

    Raises:
        ConfigError: it is none.
    """
    for name in get_args(FindingSet):
        if text.strip().lower() == name:
            return name  # type: ignore[no-any-return]
    raise ConfigError(f"--findings {text!r} is none of {', '.join(get_args(FindingSet))}")


def sample_of(pool: Pool, *, finding_set: FindingSet, share: float, seed: int) -> Sample:
    """Choose the findings and the patients that choose thresholds.

    Args:
        pool: with labels.
        finding_set: whose findings; "auto" takes RAD-ChestCT's where all volumes are named as its are.
        share: of the patients, to choose thresholds on.
        seed: of their draw.

    Raises:
        InputError: there are fewer than two patients, or no finding has both kinds among the scored volumes.
    """
    patient_N = coded(pool.patient_N)
    patients = int(patient_N.max()) + 1
    if patients < 2:
        raise InputError(
            f"{pool.source} holds volumes of one patient: thresholds are chosen on some patients and tried "
            "on others, so two at least are needed"
        )
    tuned_N = drawn_patients(patients, share, seed)[patient_N]
    chosen = _chosen_set(pool, finding_set)
    groups = _groups(chosen)
    left_out: dict[str, str] = {}
    if chosen == "rad-chestct":
        left_out[NOT_IN_RAD_CHESTCT] = "RAD-ChestCT has no such finding"
    labels: dict[str, tuple[Flags, Flags]] = {}
    for finding, columns in groups.items():
        present_N, known_N = _either(pool.present_NC[:, columns], pool.known_NC[:, columns])
        reason = _why_not(present_N, known_N, ~tuned_N)
        if reason is None:
            labels[finding] = present_N, known_N
        else:
            left_out[finding] = reason
    if not labels:
        raise InputError(
            f"no finding is known both present and absent among the {int((~tuned_N).sum())} volumes of "
            f"{pool.source} that are scored: check the labels, or give more volumes"
        )
    return Sample(
        finding_set=chosen,
        findings=tuple(labels),
        columns=tuple(tuple(groups[finding]) for finding in labels),
        present_NF=np.stack([present_N for present_N, _ in labels.values()], axis=1),
        known_NF=np.stack([known_N for _, known_N in labels.values()], axis=1),
        patient_N=patient_N,
        tuned_N=tuned_N,
        left_out=left_out,
    )


def _chosen_set(pool: Pool, asked: FindingSet) -> FindingSet:
    if asked != "auto":
        return asked
    named = all(rad_chestct_name(str(name)) is not None for name in pool.name_N)
    return "rad-chestct" if named else "ct-rate"


def _groups(finding_set: FindingSet) -> dict[str, list[int]]:
    """Return which of the 18 make up each finding.

    Source:
        CT-CLIP's published evaluation on RAD-ChestCT: no mosaic attenuation, the two calcifications as one.
    """
    if finding_set == "ct-rate":
        return {finding: [column] for column, finding in enumerate(ABNORMALITIES)}
    groups: dict[str, list[int]] = {}
    for column, finding in enumerate(ABNORMALITIES):
        if finding != NOT_IN_RAD_CHESTCT:
            name = CALCIFICATION if finding in CALCIFICATIONS else finding
            groups.setdefault(name, []).append(column)
    return groups


def _either(present_NK: Flags, known_NK: Flags) -> tuple[Flags, Flags]:
    """Join labels: one that is present is enough; absent needs all of them to be known."""
    present_N: Flags = np.asarray((present_NK & known_NK).any(axis=1))
    known_N: Flags = present_N | np.asarray(known_NK.all(axis=1))
    return present_N, known_N


def _why_not(present_N: Flags, known_N: Flags, scored_N: Flags) -> str | None:
    """Return why a finding cannot be scored, or None."""
    if not known_N.any():
        return "no label is known"
    known = present_N[known_N & scored_N]
    if not known.any():
        return "no scored volume is known to show it"
    return "no scored volume is known not to show it" if known.all() else None
