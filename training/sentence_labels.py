"""Fits the trained default: picks features, and boosts trees with scikit-learn (imported here alone)."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from encoders.abnormalities import ABNORMALITIES
from encoders.boosted_trees import BoostedTrees
from encoders.errors import ConfigError
from encoders.label_rules import LabelWording, WordingIndex, label_wordings
from encoders.report_features import ReportFeatures, features_of
from encoders.sentence_labels import SentenceModel
from encoders.statements import statements
from training.label_runs import SentenceLabelRun

Labels = npt.NDArray[np.bool_]  # (N, 18)
_CERTAIN = 10.0  # log-odds of a label that all annotated reports have
_PAIRED_FROM = 8  # reports: rarer words are not paired, there would be millions


def require_scikit_learn() -> None:
    """Look for the library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import sklearn.ensemble  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "training labels from sentences needs scikit-learn, which is not installed: "
            "pip install 'ctsearch[train]'"
        ) from error


def fit_sentence_labels(
    reports: Sequence[str],
    labels_NC: Labels,
    run: SentenceLabelRun,
    *,
    told: Callable[[int], None] | None = None,
) -> SentenceModel:
    """Fit the extractor.

    Args:
        reports: as written, N of them.
        labels_NC: (N, 18).
        run: every number of it; the same run on the same reports gives the same trees.
        told: is told how many of the 18 are through.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    require_scikit_learn()
    wordings = label_wordings()
    names = _frequent_features(reports, wordings, run.rarest)
    features_NF = ReportFeatures(wordings, names).read(reports)
    votes = [_votes_on(place, names) for place in range(len(ABNORMALITIES))]
    all_votes = sorted({column for of_one in votes for column in of_one if ":" in names[column]})
    vocabulary: dict[int, int] = {}  # column among all features -> column of the model
    forest = Forest()
    for label, present_N in enumerate(labels_NC.T):
        telling = _most_telling(features_NF, present_N, run.words)
        columns = np.array(list(dict.fromkeys([*all_votes, *votes[label], *telling])))
        mine = [vocabulary.setdefault(int(column), len(vocabulary)) for column in columns]
        forest.grow(label, features_NF[:, columns], present_N, mine, run)
        if told is not None:
            told(label + 1)
    return SentenceModel(
        wordings=wordings,
        vocabulary=tuple(names[column] for column in vocabulary),
        trees=forest.trees(),
    )


def _frequent_features(reports: Sequence[str], wordings: Sequence[LabelWording], rarest: int) -> list[str]:
    """Return the features that enough reports have, in the order of the alphabet."""
    index = WordingIndex(wordings)
    read = [statements(report) for report in reports]
    spoken = Counter(word for report in read for word in {word for one in report for word in one.suggested})
    common = sorted(word for word, count in spoken.items() if count >= _PAIRED_FROM)
    partners = {word: set(common[place + 1 :]) for place, word in enumerate(common)}
    counts = Counter(name for report in read for name in features_of(report, index, partners))
    return sorted(name for name, count in counts.items() if count >= rarest)


def _votes_on(place: int, names: Sequence[str]) -> list[int]:
    """Return the columns that the rules' votes on one finding have."""
    return [column for column, name in enumerate(names) if name.startswith((f"{place}:", f"{place}="))]


def _most_telling(features_NF: Labels, present_N: npt.NDArray[np.bool_], most: int) -> list[int]:
    """Return the features whose shares with and without a label differ most (z of two shares)."""
    with_it, without = features_NF[present_N], features_NF[~present_N]
    if not len(with_it) or not len(without):
        return []
    share_F = features_NF.mean(axis=0)
    spread_F = np.sqrt(share_F * (1 - share_F) * (1 / len(with_it) + 1 / len(without)) + 1e-9)
    z_F = np.abs(with_it.mean(axis=0) - without.mean(axis=0)) / spread_F
    return [int(column) for column in np.argsort(-z_F, kind="stable")[:most]]


class Forest:
    """Collects the trees of all labels in one list of nodes."""

    def __init__(self) -> None:
        self._bias = [0.0] * len(ABNORMALITIES)
        self._roots: list[int] = []
        self._labels: list[int] = []
        self._nodes: list[tuple[int, int, int, float]] = []  # feature, left, right, value

    def grow(
        self,
        label: int,
        features_NK: Labels,
        present_N: npt.NDArray[np.bool_],
        columns: Sequence[int],
        run: SentenceLabelRun,
    ) -> None:
        """Boost the trees of one label; one that no report has, or all, needs none."""
        from sklearn.ensemble import GradientBoostingClassifier

        if present_N.all() or not present_N.any():
            self._bias[label] = _CERTAIN if present_N.all() else -_CERTAIN
            return
        boosting = GradientBoostingClassifier(
            n_estimators=run.trees,
            max_depth=run.depth,
            learning_rate=run.rate,
            min_samples_leaf=run.leaf,
            subsample=run.reports_share,
            max_features=run.features_share,
            random_state=run.seed,
        ).fit(features_NK.astype(np.float32), present_N)
        share = present_N.mean()
        self._bias[label] = float(np.log(share / (1 - share)))  # where scikit-learn starts
        for (grown,) in boosting.estimators_:
            tree = grown.tree_
            self._roots.append(len(self._nodes))
            self._labels.append(label)
            self._add(
                tree.children_left.tolist(),
                tree.children_right.tolist(),
                [columns[feature] if feature >= 0 else 0 for feature in tree.feature],
                (run.rate * tree.value[:, 0, 0]).tolist(),
            )

    def _add(
        self, left: Sequence[int], right: Sequence[int], feature: Sequence[int], value: Sequence[float]
    ) -> None:
        """Append the nodes of one tree; a leaf, whose children scikit-learn gives as -1, is its own child."""
        root = len(self._nodes)
        for node in range(len(left)):
            if left[node] < 0:
                self._nodes.append((0, root + node, root + node, value[node]))
            else:
                self._nodes.append((feature[node], root + left[node], root + right[node], 0.0))

    def trees(self) -> BoostedTrees:
        """Return all that has grown."""
        return BoostedTrees(
            bias_C=np.array(self._bias, dtype=np.float32),
            roots_T=np.array(self._roots, dtype=np.int32),
            labels_T=np.array(self._labels, dtype=np.int32),
            feature_M=np.array([node[0] for node in self._nodes], dtype=np.int32),
            left_M=np.array([node[1] for node in self._nodes], dtype=np.int32),
            right_M=np.array([node[2] for node in self._nodes], dtype=np.int32),
            value_M=np.array([node[3] for node in self._nodes], dtype=np.float32),
        )
