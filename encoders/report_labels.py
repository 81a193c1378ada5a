"""Which of the 18 abnormalities a report names: one small protocol, and who answers it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from encoders.label_card import read_label_card
from encoders.label_rules import RULES, RuleLabels


class LabelExtractor(Protocol):
    """Reads the 18 from reports: the built-in rules, or a model that was fitted to annotated reports."""

    @property
    def name(self) -> str:
        """Its directory, or "rules"."""

    def label_reports(self, reports: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Say which abnormalities each report names as present or possible.

        Args:
            reports: as written, sections one after the other (`encoders.statements.joined`); N of them.

        Returns:
            (N, 18), in the order of `encoders.abnormalities.ABNORMALITIES`.
        """


def load_label_extractor(model: str, *, device: str = "cpu") -> LabelExtractor:
    """Load an extractor.

    Args:
        model: "rules", or a directory that `ctsearch train report-labels` wrote.
        device: where a transformer runs; the others need none.

    Raises:
        CheckpointError: there is none, it is damaged, or another version made it.
    """
    if model == RULES:
        return RuleLabels()
    card = read_label_card(Path(model).expanduser())
    if card.kind == "sentences":
        from encoders.sentence_labels import load_sentence_labels

        return load_sentence_labels(card)
    from encoders.transformer_labels import load_transformer_labels

    return load_transformer_labels(card, device=device)
