"""How encoders find phantoms: on cohorts and latents made up by hand, and those of the built-in encoder."""

import json
import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.train import app
from encoders.abnormalities import ABNORMALITIES
from encoders.encoder import load_encoder
from training.phantom_cohorts import Cohort, Encoded, encode_cohort, phantoms_unseen
from training.phantom_figures import (
    FIGURES,
    Judged,
    areas_by_finding,
    judge,
    judge_chance,
    judge_labels,
    judge_nuisance,
    resampled,
    with_intervals,
)

SCANS = 30


@lru_cache(maxsize=1)
def cohort() -> Cohort:
    return phantoms_unseen(SCANS, 203)


@lru_cache(maxsize=1)
def found_by_the_built_in_encoder() -> Judged:
    whole = phantoms_unseen(200, 203)
    return judge(whole, encode_cohort(load_encoder("phantom-tiny"), whole, None))


def encoded_by_number(one: Cohort, *, wrong: int = 0) -> Encoded:
    """Latents that tell the scan by its number; the reports of the first `wrong` scans have another's."""
    own = np.eye(len(one.reports))
    asked = own.copy()
    asked[:wrong] = own[np.roll(np.arange(wrong), 1)]
    shown_VC = one.labels_SC[one.study_V].astype(np.float64)
    return Encoded(volume_VL=own[one.study_V], report_SL=asked, score_VC=shown_VC, named_VC=shown_VC)


def by_name(judged: Judged) -> dict[str, float]:
    return {
        name: figure.value for name, figure in zip(FIGURES, with_intervals(resampled([judged])), strict=True)
    }


def test_an_encoder_that_tells_every_scan_finds_each_and_says_what_it_shows() -> None:
    figures = by_name(judge(cohort(), encoded_by_number(cohort())))
    assert figures["recall_5"] == figures["recall_10"] == figures["zero_shot_auroc"] == 1.0


def test_a_report_with_the_latent_of_another_scan_is_a_miss() -> None:
    figures = by_name(judge(cohort(), encoded_by_number(cohort(), wrong=6)))
    assert figures["recall_5"] == figures["recall_10"] == pytest.approx((SCANS - 6) / SCANS)


def test_chance_has_its_exact_values() -> None:
    figures = by_name(judge_chance(cohort()))
    assert figures["recall_5"] == pytest.approx(5 / SCANS)
    assert figures["recall_10"] == pytest.approx(10 / SCANS)
    assert figures["zero_shot_auroc"] == pytest.approx(0.5)


def test_labels_find_more_than_nuisance_which_finds_no_report() -> None:
    labels, nuisance = by_name(judge_labels(cohort())), by_name(judge_nuisance(cohort()))
    assert labels["overlap_10"] > nuisance["overlap_10"]
    assert math.isnan(nuisance["recall_10"])
    assert math.isnan(labels["zero_shot_auroc"])


def test_an_interval_holds_the_figure_and_has_no_width_where_no_patient_differs() -> None:
    recall_5, _, overlap, _, _ = with_intervals(resampled([judge(cohort(), encoded_by_number(cohort()))]))
    assert (recall_5.low, recall_5.high) == (1.0, 1.0)
    assert overlap.low < overlap.value < overlap.high


def test_rows_of_two_encoders_are_of_the_same_patients() -> None:
    right = resampled([judge(cohort(), encoded_by_number(cohort()))])
    half = resampled([judge(cohort(), encoded_by_number(cohort(), wrong=15))])
    difference = with_intervals(right - half)[1]
    assert difference.value == pytest.approx(0.5)
    assert 0 < difference.low < 0.5 < difference.high < 1
    assert with_intervals((right + half) / 2)[1].value == pytest.approx(0.75)
    overlap = with_intervals(right - half)[2]  # it does not depend on the reports, whoever is drawn
    assert (overlap.low, overlap.high) == (0.0, 0.0)


def test_the_ten_volumes_nearest_to_a_name_are_counted_by_what_they_show() -> None:
    one, told = cohort(), encoded_by_number(cohort())
    shown = one.labels_SC[one.study_V].sum(axis=0)
    expected = np.minimum(shown[shown > 0], 10).mean() / 10  # as many as there are come first
    assert by_name(judge(one, told))["named_10"] == pytest.approx(expected)
    others = replace(told, named_VC=1 - told.named_VC)
    assert by_name(judge(one, others))["named_10"] == 0.0


def test_the_auroc_of_a_finding_is_that_of_its_column() -> None:
    told = encoded_by_number(cohort())
    turned = replace(told, score_VC=told.score_VC * np.where(np.arange(18) == 9, -1, 1))
    areas = areas_by_finding([[judge(cohort(), turned)]])
    assert areas[ABNORMALITIES[9]] == 0.0
    assert areas[ABNORMALITIES[8]] == 1.0


@pytest.mark.slow
def test_the_built_in_encoder_keeps_what_is_said_of_it() -> None:
    found = found_by_the_built_in_encoder()
    figures, chance = by_name(found), by_name(judge_chance(found.cohort))
    assert figures["recall_10"] >= 0.80
    assert figures["recall_5"] >= 0.65
    assert figures["overlap_10"] >= 2.1 * chance["overlap_10"]
    assert figures["zero_shot_auroc"] >= 0.80
    areas = areas_by_finding([[found]])
    assert min(areas.values()) > 0.6


@pytest.mark.slow
def test_the_built_in_encoder_lies_between_nuisance_and_labels() -> None:
    found = found_by_the_built_in_encoder()
    references = [judge(found.cohort) for judge in (judge_labels, judge_nuisance, judge_chance)]
    figures, labels, nuisance, chance = (by_name(one)["overlap_10"] for one in (found, *references))
    assert nuisance < 1.25 * chance
    assert nuisance + 0.25 * (labels - nuisance) < figures < labels


def test_the_command_prints_one_json_document_that_says_it_is_about_phantoms(tmp_path: Path) -> None:
    asked = ["phantom-figures", "--scans", "20", "--seed", "5", "--cache", str(tmp_path)]
    result = CliRunner().invoke(app, [*asked, "--against", "phantom-tiny", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["phantoms_only"] is True
    assert document["seeds"] == [5]
    assert document["figures"]["difference"]["recall_10"] == {"value": 0, "low": 0, "high": 0}
    table = CliRunner().invoke(app, asked)
    assert "not patients" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80
