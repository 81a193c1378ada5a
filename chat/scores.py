"""Answers of a chat model scored, task by task, each figure beside what one constant answer gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chat.answer_floors import ALL_NORMAL, anothers_answers, floor_answers
from chat.answers_file import Answered, patient_codes, shared_answers
from chat.backends import Mode
from chat.clinical import ReadOnce, by_finding, clinical_measures, labels_of
from chat.judge import Judge, band_shares
from chat.measures import Measure, difference_interval, figures, interval, mean_of, swap_p
from chat.question_set import TASKS
from chat.text_scores import text_measures
from encoders.report_labels import LabelExtractor
from retrieval.evaluation.resampling import Values
from retrieval.index_summary import IndexProgress

DEFINITIONS = {
    "bleu_1": "words of the answers that references have, over all answers, with the penalty for brevity "
    "(sacrebleu, tokeniser 13a, lower case)",
    "rouge_l": "mean F of the longest common subsequence of words (rouge-score, no stems)",
    "meteor": "mean METEOR 1.5 (pycocoevalcap); lower case, no punctuation",
    "cider": "mean CIDEr-D, 0 to 10 (pycocoevalcap); rare is what few references of the task hold",
    "exact": "share of the answers that are the reference: the letter of a choice, else the same words",
    "clinical": "precision, recall and F1 of the 18 findings that an extractor reads from answers and "
    "references; micro over all findings, macro over those named at all, weighted by references",
    "judge": "mean grade of a language model, 0 to 10; bands are shares of the graded answers",
    "floor": "the same questions with one constant answer: a report in which all is normal, or the commonest "
    "reference where answers are a word or a letter",
    "another": "the same questions with the reference of another patient, who writes as reports do",
    "interval": "percentile bootstrap over patients",
    "p": "two-sided paired permutation test: both answer files are swapped for whole patients",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """How answers are scored."""

    extractor: LabelExtractor
    judge: Judge | None = None
    normal: str = ALL_NORMAL
    resamples: int = 1000
    permutations: int = 10_000
    seed: int = 0


@dataclass(slots=True)
class _Task:
    """The answers of one task with all that was measured of them."""

    answers: tuple[Answered, ...]
    measures: dict[str, Measure] = field(default_factory=dict)
    grades_N: Values | None = None
    findings: dict[str, dict[str, float]] = field(default_factory=dict)


def score_answers(
    answers: Sequence[Answered],
    options: ScoreOptions,
    progress: IndexProgress,
    without_volume: Sequence[Answered] | None = None,
) -> dict[str, Any]:
    """Return the document that `evaluate chat --json` prints.

    Args:
        answers: a model's.
        options: what is measured.
        progress: told how many tasks are done.
        without_volume: its answers to the same questions, asked without the volume; questions that only one
            of the two answers are left out.

    Raises:
        DatasetError: the two share no question, or mean different ones by one id.
        ConfigError: a library is missing that every score needs.
        BackendError: the judge failed again and again.
    """
    options = replace(options, extractor=ReadOnce(options.extractor))
    warnings: list[str] = []
    left_out = 0
    other: tuple[Answered, ...] = ()
    if without_volume is not None:
        every = len(answers)
        answers, other = shared_answers(answers, without_volume)
        left_out = every + len(without_volume) - 2 * len(answers)
    tasks: dict[str, Any] = {}
    groups = [task for task in TASKS if any(one.task == task for one in answers)]
    for done, task in enumerate(groups):
        progress.update(done=done, total=len(groups), failed=0, step=f"scoring {task}")
        tasks[task] = _score_task(task, answers, other, options, warnings)
    document: dict[str, Any] = {
        "answers": len(answers),
        "patients": len({one.patient for one in answers}),
        "tasks": tasks,
        "definitions": DEFINITIONS,
        "warnings": list(dict.fromkeys(warnings)),
    }
    if without_volume is not None:
        document["left_out"] = left_out
    if options.judge is not None:
        document["rejected_grades"] = dict(options.judge.rejected.most_common())
    return document


def _score_task(
    task: Mode,
    answers: Sequence[Answered],
    other: Sequence[Answered],
    options: ScoreOptions,
    warnings: list[str],
) -> dict[str, Any]:
    mine = tuple(one for one in answers if one.task == task)
    patient_N = patient_codes(mine)
    scored = _measured(mine, options, warnings)
    floor = _measured(floor_answers(mine, options.normal), options, warnings)
    document = {
        "answers": len(mine),
        "patients": int(patient_N.max()) + 1,
        **_told(scored),
        "interval": {
            name: _ends(interval(measure, patient_N, options.resamples, options.seed))
            for name, measure in scored.measures.items()
        },
        "floor": {"answer": floor.answers[0].answer, **_told(floor)},
    }
    if task == "report_generation" and (anothers := anothers_answers(mine)):
        document["another"] = _told(_measured(anothers, options, warnings))
    if other:
        blind = _measured(tuple(one for one in other if one.task == task), options, warnings)
        document["without_volume"] = _told(blind)
        document["difference"] = _differences(scored.measures, blind.measures, patient_N, options)
    return document


def _measured(answers: tuple[Answered, ...], options: ScoreOptions, warnings: list[str]) -> _Task:
    found = _Task(answers, text_measures(answers, warnings))
    if answers[0].task == "report_generation":
        named, should = labels_of(answers, options.extractor)
        found.measures |= clinical_measures(named, should)
        found.findings = by_finding(named, should)
    if options.judge is not None:
        found.grades_N = options.judge.grades(answers)
        found.measures["judge"] = mean_of(found.grades_N)
    return found


def _told(task: _Task) -> dict[str, Any]:
    told: dict[str, Any] = {"figures": figures(task.measures)}
    if task.findings:
        told["findings"] = task.findings
    if task.grades_N is not None:
        told["judge"] = {
            "graded": int((~np.isnan(task.grades_N)).sum()),
            "bands": band_shares(task.grades_N),
        }
    return told


def _differences(
    one: Mapping[str, Measure],
    other: Mapping[str, Measure],
    patient_N: Any,
    options: ScoreOptions,
) -> dict[str, Any]:
    return {
        name: {
            "value": one[name].figure - other[name].figure,
            "interval": _ends(
                difference_interval(one[name], other[name], patient_N, options.resamples, options.seed)
            ),
            "p": swap_p(one[name], other[name], patient_N, options.permutations, options.seed),
        }
        for name in one
        if name in other
    }


def _ends(ends: tuple[float, float]) -> list[float] | None:
    return None if np.isnan(ends).any() else list(ends)
