"""Labels read from reports: the rules, the trees over sentences, and how both are measured."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import f1_score

from encoders.abnormalities import ABNORMALITIES
from encoders.boosted_trees import BoostedTrees
from encoders.label_rules import LabelWording, RuleLabels, WordingIndex
from encoders.report_features import ReportFeatures
from encoders.sentence_labels import SentenceLabels
from encoders.statements import joined, statements, stem
from retrieval.report_table import read_annotated_reports
from tests.annotated_reports import made_up_reports
from tests.shared import shared_file
from training.label_runs import sentences
from training.label_scores import cross_validate, folds_by_text, score_labels
from training.report_labels import validate_report_labels
from training.sentence_labels import Forest, fit_sentence_labels

QUICK = replace(sentences(), trees=30, rate=0.3)  # made-up reports are learnt with less
ANNOTATED = "ct_rate/annotated_reports_800.csv"


def labels_of(report: str) -> set[str]:
    (row,) = RuleLabels().label_reports([report])
    return set(itertools.compress(ABNORMALITIES, row))


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("Sliding type hiatal hernia is observed. No pleural effusion was detected.", {"Hiatal hernia"}),
        (
            "Calcified plaques are observed in the aorta and coronary arteries.",
            {"Arterial wall calcification", "Coronary artery wall calcification"},
        ),
        ("Pericardial effusion-thickening was not observed.", set()),
        ("Nodule without consolidation in the right upper lobe.", {"Lung nodule"}),
        ("Ground-glass opacities (consolidation?).", {"Lung opacity", "Consolidation"}),
        ("A hypodense nodule is observed in the thyroid gland.", set()),
        ("Lymph nodes that do not reach pathological dimensions are observed.", {"Lymphadenopathy"}),
        ("No enlarged lymph nodes were detected.", set()),
        ("Bronchial wall thickening is observed.", set()),  # CT-RATE ticks peribronchial thickening alone
        ("Findings secondary to sternotomy.", set()),
        ("Bilateral pleural effusions, more on the right.", {"Pleural effusion"}),
        ("Emphysematous changes and a few bullae.", {"Emphysema"}),
        ("Subcutaneous emphysema is observed.", set()),
        ("The heart is enlarged. A pacemaker is seen.", {"Cardiomegaly", "Medical material"}),
        ("", set()),
    ],
)
def test_rules_read_what_a_sentence_affirms_or_leaves_open(report: str, expected: set[str]) -> None:
    assert labels_of(report) == expected


def test_rules_read_made_up_reports_of_all_eighteen_without_a_mistake() -> None:
    reports, labels = made_up_reports(50, seed=1)
    np.testing.assert_array_equal(RuleLabels().label_reports(reports), labels)


def test_sections_are_joined_so_that_their_sentences_stay_apart() -> None:
    assert joined(("No effusion", "", "Emphysema.")) == "No effusion.\nEmphysema."
    assert len(statements(joined(("No effusion", "emphysema")))) == 2


@pytest.mark.parametrize(
    ("one", "other"), [("enlarged", "enlargement"), ("nodules", "nodule"), ("pathologic", "pathological")]
)
def test_a_stem_is_shared_by_the_forms_of_a_word(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_portal_is_no_port() -> None:
    assert stem("portal") != stem("port")


def test_a_wording_is_found_where_its_words_stand_and_none_that_it_bars() -> None:
    index = WordingIndex([LabelWording.parse(0, "nodul -thyroid"), LabelWording.parse(1, "a b")])
    assert set(index.found(["nodul", "b", "a"])) == {0, 1}
    assert set(index.found(["nodul", "thyroid", "b"])) == set()


def test_features_tell_what_is_suggested_from_what_is_denied() -> None:
    vocabulary = ("+effus", "-effus", "effus&pleural", "8:affirmed", "8:denied", "+pleural effus")
    wordings = [LabelWording.parse(8, stem("atelectasis"))]
    read = ReportFeatures(wordings, vocabulary).read(
        ["Pleural effusion and no atelectasis.", "Atelectasis. No effusion."]
    )
    assert read.tolist() == [
        [True, False, True, False, True, True],
        [False, True, False, True, False, False],
    ]


def test_trees_add_their_leaves_to_the_bias() -> None:
    trees = BoostedTrees(
        bias_C=np.array([0.0, 1.0], np.float32),
        roots_T=np.array([0, 3], np.int32),
        labels_T=np.array([0, 1], np.int32),
        feature_M=np.array([1, 0, 0, 0], np.int32),
        left_M=np.array([1, 1, 2, 3], np.int32),
        right_M=np.array([2, 1, 2, 3], np.int32),
        value_M=np.array([0.0, -2.0, 3.0, 0.5], np.float32),
    )
    logits = np.array([[-2.0, 1.5], [3.0, 1.5]])  # without and with feature 1; label 1 has one leaf
    np.testing.assert_allclose(
        trees.probabilities(np.array([[True, False], [False, True]])), 1 / (1 + np.exp(-logits)), rtol=1e-6
    )


def test_trees_give_the_probabilities_that_scikit_learn_gives() -> None:
    drawn = np.random.default_rng(0)
    features_NK = drawn.random((200, 12)) < 0.4
    present_N = (features_NK[:, 3] & ~features_NK[:, 5]) ^ (drawn.random(200) < 0.1)
    run = sentences()
    forest = Forest()
    forest.grow(4, features_NK, present_N, list(range(12)), run)
    theirs = GradientBoostingClassifier(
        n_estimators=run.trees,
        max_depth=run.depth,
        learning_rate=run.rate,
        min_samples_leaf=run.leaf,
        subsample=run.reports_share,
        max_features=run.features_share,
        random_state=run.seed,
    ).fit(features_NK, present_N)
    np.testing.assert_allclose(
        forest.trees().probabilities(features_NK)[:, 4], theirs.predict_proba(features_NK)[:, 1], atol=1e-5
    )


def test_what_is_fitted_labels_reports_that_it_has_not_seen() -> None:
    model = fit_sentence_labels(*made_up_reports(80, seed=2), QUICK)
    reports, labels = made_up_reports(40, seed=3)
    np.testing.assert_array_equal(SentenceLabels(model, "made up").label_reports(reports), labels)


def test_a_label_that_nobody_has_is_given_to_nobody() -> None:
    reports, labels = made_up_reports(40, seed=4)
    labels[:, 5], labels[:, 6] = False, True
    found = SentenceLabels(fit_sentence_labels(reports, labels, QUICK), "").label_reports(reports)
    assert not found[:, 5].any()
    assert found[:, 6].all()


def test_scores_are_those_of_scikit_learn() -> None:
    drawn = np.random.default_rng(1)
    annotated, found = drawn.random((2, 60, 18)) < 0.3
    scores = score_labels(annotated, found)
    np.testing.assert_allclose(scores.f1_C, f1_score(annotated, found, average=None))
    assert scores.weighted_f1 == pytest.approx(f1_score(annotated, found, average="weighted"))


def test_reports_of_one_text_are_in_one_fold_and_never_seen_before_they_are_labelled() -> None:
    reports = [f"text {number % 30}" for number in range(60)]
    fold_N = folds_by_text(reports, 5, seed=0)
    np.testing.assert_array_equal(fold_N[:30], fold_N[30:])
    assert np.bincount(fold_N).tolist() == [12] * 5

    def by_heart(seen, labels):
        known = dict(zip(seen, labels, strict=True))
        return lambda asked: np.array([known.get(text, np.zeros(18, bool)) for text in asked])

    scores = cross_validate(reports, np.ones((60, 18), dtype=bool), by_heart, folds=5, seed=0)
    assert scores.weighted_f1 == 0


def test_rules_read_real_reports_as_an_annotator_does() -> None:
    reports, labels = read_annotated_reports(shared_file(ANNOTATED))
    assert score_labels(labels, RuleLabels().label_reports(reports)).weighted_f1 >= 0.93


@pytest.mark.slow  # five times 18 forests: half a minute
def test_the_trained_default_reaches_its_bar_on_reports_that_it_has_not_seen() -> None:
    scores = validate_report_labels(sentences(), shared_file(ANNOTATED), folds=5, seed=0)
    assert scores.weighted_f1 >= 0.93
