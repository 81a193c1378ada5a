"""Answers to be scored: a file of questions, what should have been answered, and what was."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chat.backends import Mode
from chat.question_set import TASKS, read_questions
from encoders.errors import DatasetError
from retrieval.datasets.ct_rate import ct_rate_name

_KEYS = ("id", "task", "question", "reference", "answer")
_OF_A_SET = re.compile(r"_[a-z][a-z-]*(?:_\d+)+(?:_turn_\d+)?$")  # what `chat-data` writes behind a study
_NEEDED = f"each answer needs {', '.join(_KEYS[:-1])} and {_KEYS[-1]}, as text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question with its reference and a model's answer, which may be empty."""

    id: str
    task: Mode
    question: str
    reference: str
    answer: str
    patient: str  # whose scan; answers of one patient are resampled together


def read_answers(path: Path, questions: Path | None = None) -> tuple[Answered, ...]:
    """Read a JSON list, or a JSON object a line, of {id, task, question, reference, answer}.

    With the set of `ctsearch chat-data` that was asked, {id, answer} will do. A conversation's questions go
    by the id of the conversation, "_turn_" and their number.

    `patient` may stand there too; else an id that begins with a study of CT-RATE tells it, else what stands
    before "_KIND_NUMBER" of an id of `ctsearch chat-data`, else every answer is a patient of its own.

    Raises:
        DatasetError: it cannot be read, lacks a key, names an id twice or a task that is none.
    """
    asked = {} if questions is None else _asked(questions)
    answers = tuple(_answered(path, number, row, asked) for number, row in enumerate(_rows(path), start=1))
    if not answers:
        raise DatasetError(f"{path} holds no answers: {_NEEDED}")
    ids = [one.id for one in answers]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise DatasetError(f"{path} answers {twice} twice: keep one of the two")
    return answers


def shared_answers(
    one: Sequence[Answered], other: Sequence[Answered]
) -> tuple[tuple[Answered, ...], tuple[Answered, ...]]:
    """Return the answers to the questions of both files, in the first one's order.

    Raises:
        DatasetError: they share none, or an id stands for two different questions or references.
    """
    found = {answered.id: answered for answered in other}
    pairs = [(answered, found[answered.id]) for answered in one if answered.id in found]
    if not pairs:
        raise DatasetError("the two files answer no question in common: their ids must be the same")
    for first, second in pairs:
        if (first.task, first.question, first.reference) != (second.task, second.question, second.reference):
            raise DatasetError(
                f"the two files mean different questions by {first.id}: ask the same with and without volumes"
            )
    return tuple(first for first, _ in pairs), tuple(second for _, second in pairs)


def patient_codes(answers: Sequence[Answered]) -> NDArray[np.int64]:
    """Return the patient of each answer, numbered from 0 without gaps."""
    return np.unique([one.patient for one in answers], return_inverse=True)[1].astype(np.int64)


def _rows(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): check its name") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not text in UTF-8 ({error}): save it as such") from error
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else _lines(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is neither a JSON list nor JSON lines ({error}): {_NEEDED}") from error
    return list(rows)


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _asked(path: Path) -> dict[str, dict[str, str]]:
    """Return what a set asks: task, question and reference of each id."""
    return {
        one.id: {"task": one.task, "question": one.question, "reference": one.reference}
        for one in read_questions(path)
    }


def _answered(path: Path, number: int, row: object, asked: Mapping[str, Mapping[str, str]]) -> Answered:
    if isinstance(row, dict):
        row = {**asked.get(str(row.get("id")), {}), **row}
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in _KEYS):
        raise DatasetError(f"{path}: answer {number} lacks a key or has one that is no text: {_NEEDED}")
    task = row["task"].strip("<>")
    if task not in TASKS:
        raise DatasetError(f"{path}: answer {number} is of the task {row['task']!r}: take {', '.join(TASKS)}")
    if not row["reference"].strip():
        raise DatasetError(
            f"{path}: answer {number} has an empty reference: nothing can be scored against it"
        )
    patient = row.get("patient")
    return Answered(
        id=row["id"],
        task=task,
        question=row["question"],
        reference=row["reference"],
        answer=row["answer"],
        patient=patient if isinstance(patient, str) and patient else _patient_of(row["id"]),
    )


def _patient_of(name: str) -> str:
    study = _OF_A_SET.sub("", name)
    parsed = ct_rate_name(study)
    return study if parsed is None else parsed.patient
