"""The trained default: boosted trees over what sentences affirm and deny; no pickle, no download."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from encoders.abnormalities import ABNORMALITIES
from encoders.boosted_trees import BoostedTrees
from encoders.errors import CheckpointError
from encoders.label_card import LabelCard
from encoders.label_rules import LabelWording
from encoders.report_features import ReportFeatures
from encoders.sentences import SENTENCES_VERSION
from encoders.statements import STATEMENTS_VERSION

WEIGHTS_FILE, VOCABULARY_FILE = "trees.safetensors", "vocabulary.json"
READING = {"sentences_version": SENTENCES_VERSION, "statements_version": STATEMENTS_VERSION}
"""How reports were read when a model was fitted; read otherwise, its features would mean something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceModel:
    """What is fitted: the wordings that voted, the features by column, the trees."""

    wordings: tuple[LabelWording, ...]
    vocabulary: tuple[str, ...]
    trees: BoostedTrees

    def save(self, folder: Path) -> None:
        """Write the weights and the vocabulary into a folder."""
        from safetensors.numpy import save_file

        save_file(self.trees.tensors(), folder / WEIGHTS_FILE)
        text = json.dumps(
            {
                "wordings": [[wording.finding, wording.text] for wording in self.wordings],
                "features": self.vocabulary,
            },
            indent=0,
        )
        (folder / VOCABULARY_FILE).write_text(text + "\n", encoding="utf-8")


class SentenceLabels:
    """The extractor."""

    def __init__(self, model: SentenceModel, name: str) -> None:
        self.name = name
        self._model = model
        self._features = ReportFeatures(model.wordings, model.vocabulary)

    def probabilities(self, reports: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return how likely each of the 18 is, (N, 18)."""
        return self._model.trees.probabilities(self._features.read(reports))

    def label_reports(self, reports: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which of the 18 are more likely than not, (N, 18)."""
        labels: npt.NDArray[np.bool_] = self.probabilities(reports) > 0.5
        return labels


def load_sentence_labels(card: LabelCard) -> SentenceLabels:
    """Load the extractor of a card whose files are whole.

    Raises:
        CheckpointError: it was fitted by a version that read reports otherwise, or its files do not fit.
    """
    if dict(card.settings) != READING:
        raise CheckpointError(
            f"{card.directory} was fitted by a version of ctsearch that read sentences otherwise: "
            "train it again with ctsearch train report-labels"
        )
    return SentenceLabels(_read(card.directory), str(card.directory))


def _read(directory: Path) -> SentenceModel:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        data = json.loads((directory / VOCABULARY_FILE).read_text(encoding="utf-8"))
        wordings = tuple(LabelWording.parse(int(finding), text) for finding, text in data["wordings"])
        vocabulary = tuple(map(str, data["features"]))
        tensors = load_file(directory / WEIGHTS_FILE)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{directory} cannot be read ({error}): train the extractor again") from error
    trees = BoostedTrees.from_tensors(tensors, labels=len(ABNORMALITIES), features=len(vocabulary))
    return SentenceModel(wordings=wordings, vocabulary=vocabulary, trees=trees)
