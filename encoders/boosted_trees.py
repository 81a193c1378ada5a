"""Boosted trees over yes/no features, as arrays: read by NumPy alone, whatever fitted them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from encoders.errors import CheckpointError

_ROWS_AT_ONCE = 128
_DEEPEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostedTrees:
    """For each label a bias and trees whose leaves are added to it; all nodes lie in one list.

    A node looks at a feature and goes to its left child where the feature is absent, to its right one where
    it is there. A leaf is a node whose children are itself.

    Attributes:
        bias_C: log-odds of each label.
        roots_T: the first node of each tree.
        labels_T: which label each tree is of.
        feature_M: the feature that a node looks at.
        left_M: child where it is absent.
        right_M: child where it is there.
        value_M: log-odds of a leaf, the learning rate included.
    """

    bias_C: npt.NDArray[np.float32]
    roots_T: npt.NDArray[np.int32]
    labels_T: npt.NDArray[np.int32]
    feature_M: npt.NDArray[np.int32]
    left_M: npt.NDArray[np.int32]
    right_M: npt.NDArray[np.int32]
    value_M: npt.NDArray[np.float32]

    def probabilities(self, features_NF: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Return the probability of each label, (N, C)."""
        of_label_TC = (self.labels_T[:, None] == np.arange(len(self.bias_C))).astype(np.float32)
        blocks = [
            self._leaves(features_NF[start : start + _ROWS_AT_ONCE]) @ of_label_TC + self.bias_C
            for start in range(0, len(features_NF), _ROWS_AT_ONCE)
        ]
        logits_NC = np.concatenate(blocks) if blocks else np.zeros((0, len(self.bias_C)), np.float32)
        probabilities_NC: npt.NDArray[np.float32] = np.reciprocal(1 + np.exp(-logits_NC))
        return probabilities_NC

    def _leaves(self, features_NF: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Return the value that each tree gives each row, (N, T)."""
        rows_N1 = np.arange(len(features_NF))[:, None]
        nodes_NT = np.broadcast_to(self.roots_T, (len(features_NF), len(self.roots_T)))
        for _ in range(_DEEPEST):
            there_NT = features_NF[rows_N1, self.feature_M[nodes_NT]]
            further_NT = np.where(there_NT, self.right_M[nodes_NT], self.left_M[nodes_NT])
            if np.array_equal(further_NT, nodes_NT):
                break
            nodes_NT = further_NT
        leaves_NT: npt.NDArray[np.float32] = self.value_M[nodes_NT]
        return leaves_NT

    def tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays as safetensors keeps them."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[np.generic]], *, labels: int, features: int
    ) -> "BoostedTrees":
        """Read the arrays, each of whose numbers must point at something that is there.

        Raises:
            CheckpointError: an array is missing, of another kind, or points elsewhere.
        """
        if sorted(tensors) != sorted(cls.__slots__):
            raise CheckpointError("the weights are no boosted trees: train the extractor again")
        trees = cls(**{name: tensors[name] for name in cls.__slots__})  # type: ignore[arg-type]
        nodes = len(trees.value_M)
        limits = {
            "roots_T": nodes,
            "labels_T": labels,
            "feature_M": features,
            "left_M": nodes,
            "right_M": nodes,
        }
        is_sound = trees.bias_C.shape == (labels,) and all(
            array.ndim == 1 and array.dtype == np.int32 and ((array >= 0) & (array < limit)).all()
            for array, limit in ((getattr(trees, name), limit) for name, limit in limits.items())
        )
        if not is_sound or len(trees.roots_T) != len(trees.labels_T):
            raise CheckpointError("the weights do not fit the vocabulary: train the extractor again")
        return trees
