"""What is known of the pairs of a batch, as numbers that processes can exchange; who matches whom."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from encoders.abnormalities import ABNORMALITIES
from training.distributed import Place, gather_rows

YES, NO, UNKNOWN = 1, 0, -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of B pairs.

    Attributes:
        present_B: bool; False where the volume could not be read, and the pair counts nowhere.
        study_B: int64, equal for reconstructions of one scan.
        report_B: int64, equal for reports of the same words.
        labels_BC: int64, of each abnormality YES, NO or UNKNOWN.
        says_BC: int64, what the short text affirms (YES), denies (NO), or is silent on (UNKNOWN).
        general_B: bool; the short text says no more than that, so that it is true of other scans too.
    """

    present_B: Tensor
    study_B: Tensor
    report_B: Tensor
    labels_BC: Tensor
    says_BC: Tensor
    general_B: Tensor

    def gathered(self, place: Place) -> "Facts":
        """Those of all processes, in the order of their ranks."""
        columns = [getattr(self, f.name) for f in fields(self)]
        widths = [1 if column.ndim == 1 else column.shape[1] for column in columns]
        rows = torch.cat([c.reshape(len(c), w).long() for c, w in zip(columns, widths, strict=True)], dim=1)
        parts = torch.split(gather_rows(rows.to(place.device), place), widths, dim=1)
        present, study, report, labels, says, general = parts
        return Facts(
            present_B=present[:, 0].bool(),
            study_B=study[:, 0],
            report_B=report[:, 0],
            labels_BC=labels,
            says_BC=says,
            general_B=general[:, 0].bool(),
        )

    def at(self, rows: Tensor) -> "Facts":
        """Those of some pairs."""
        return Facts(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def same_report(facts: Facts) -> Tensor:
    """True where report i (row) is that of volume j (column) too: one scan, or the same words, (B, B)."""
    same_study = facts.study_B[:, None] == facts.study_B[None, :]
    return same_study | (facts.report_B[:, None] == facts.report_B[None, :])


def true_of(facts: Facts) -> Tensor:
    """True where short text i (row) is true of volume j (column), (B, B).

    A text that says no more than its labels is true of every volume that is known to have these; any other
    text of its own study alone.
    """
    unmet = sum((facts.says_BC == said).double() @ (facts.labels_BC != said).double().T for said in (YES, NO))
    own = facts.study_B[:, None] == facts.study_B[None, :]
    return own | (facts.general_B[:, None] & (unmet == 0))


def digest_of(text: str) -> int:
    """63 bits of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def as_row(values: Mapping[str, bool]) -> list[int]:
    """Labels in the order of the abnormalities."""
    return [UNKNOWN if name not in values else int(values[name]) for name in ABNORMALITIES]
