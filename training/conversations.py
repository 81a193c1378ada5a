"""Conversations to learn from: LLaVA's JSON, and those that reports and labels make by themselves.

The JSON is a list of {"id", "image": a volume's name or a list of them, "conversations": [{"from": "human" or
"gpt", "value"}]}; a question holds one `<image>` for each volume, and a task token where one is asked for.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chat.chat_format import IMAGE, TASK_TOKENS, Turn
from chat.vqa import read_entries
from encoders.abnormalities import ABNORMALITIES
from encoders.errors import DatasetError
from encoders.reports import ReportSections, clean_section
from retrieval.cases import VolumeFile
from retrieval.volume_names import without_ending
from training.examples import Example

REPORT_REQUEST = "Please provide the radiology report for the following chest CT volume"
_SPEAKERS = ("human", "gpt")
_UNKNOWN = -1  # beside 1 and 0 of a label
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Volumes and what is said of them."""

    name: str
    files: tuple[VolumeFile, ...]
    turns: tuple[Turn, ...]


def read_conversations(path: Path, examples: Sequence[Example]) -> tuple[Conversation, ...]:
    """Read LLaVA's JSON; conversations about volumes that are not there are left out and counted.

    Args:
        path: of the JSON.
        examples: the volumes.

    Raises:
        DatasetError: it is no such JSON, or none of its volumes is there; the first entry at fault is named.
    """
    entries = list(read_entries(path))
    if not entries:
        raise DatasetError(f"{path} holds no conversation: give LLaVA's JSON")
    files = {one.name: one.file for one in examples}
    found = [_conversation(entry, number, path, files) for number, entry in enumerate(entries, 1)]
    kept = tuple(one for one in found if one is not None)
    _log.info("%d of %d conversations in %s have their volumes", len(kept), len(found), path.name)
    if not kept:
        raise DatasetError(f"no volume that {path} names is in the data: give the data it was made from")
    return kept


def report_conversations(examples: Sequence[Example], *, task: bool) -> tuple[Conversation, ...]:
    """Ask for the report of each volume: in the words of CT-CHAT's first step, or as `ask` does.

    Args:
        examples: the volumes, with their reports.
        task: with the token that asks for a report, after the volume, as a question to a trained model is.
    """
    asked = f"{REPORT_REQUEST} {IMAGE}"
    if task:
        asked = f"{IMAGE}\n{REPORT_REQUEST}.{TASK_TOKENS['report_generation']}"
    return tuple(
        Conversation(
            name=f"{one.name} report", files=(one.file,), turns=(Turn(asked, report_text(one.report)),)
        )
        for one in examples
    )


def finding_conversations(examples: Sequence[Example], seed: int) -> tuple[Conversation, ...]:
    """Ask of the volumes whether findings are present: of each finding, yes is the answer as often as no.

    A finding is asked for in the same number of volumes that show it and that do not, so neither its name nor
    how rare it is tells the answer. Nor do the answers before: how many of a conversation are yes is free.

    Args:
        examples: the volumes; of one whose labels do not say, a finding is not asked for.
        seed: of which volumes are asked, and in which order.
    """
    asked: list[list[str]] = [[] for _ in examples]
    for number, name in enumerate(ABNORMALITIES):
        rng = np.random.default_rng([seed, number])
        for index in _as_many_of_both(np.array([one.labels.get(name, _UNKNOWN) for one in examples]), rng):
            asked[index].append(name)
    made = []
    for index, (one, names) in enumerate(zip(examples, asked, strict=True)):
        order = np.random.default_rng([seed, len(ABNORMALITIES), index]).permutation(len(names))
        turns = [
            _finding_turn(names[place], one.labels, first=number == 0) for number, place in enumerate(order)
        ]
        if turns:
            made.append(Conversation(name=f"{one.name} findings", files=(one.file,), turns=tuple(turns)))
    return tuple(made)


def report_text(report: ReportSections) -> str:
    """Return a report as an answer: its sections that are given, each after its name."""
    sections = (("Findings", report.findings), ("Impression", report.impression))
    return " ".join(f"{name}: {' '.join(text.split())}" for name, text in sections if clean_section(text))


def _as_many_of_both(known_N: NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    """Places of equally many 1 and 0, chosen at random."""
    both = [np.flatnonzero(known_N == said) for said in (1, 0)]
    count = min(map(len, both))
    return [int(place) for places in both for place in rng.permutation(places)[:count]]


def _finding_turn(name: str, labels: Mapping[str, bool], *, first: bool) -> Turn:
    shown = f"{IMAGE}\n" if first else ""
    question = f"{shown}Is there {name.lower()}?{TASK_TOKENS['short_answer']}"
    return Turn(question, "Yes." if labels[name] else "No.")


def _conversation(
    entry: Any, number: int, path: Path, files: Mapping[str, VolumeFile]
) -> Conversation | None:
    """One entry; None where a volume of it is not there."""
    try:
        name, image = str(entry.get("id", number)), entry.get("image", [])
        names = [image] if isinstance(image, str) else [str(one) for one in image]
        said = [(str(one["from"]), str(one["value"])) for one in entry["conversations"]]
    except (AttributeError, KeyError, TypeError) as error:
        raise DatasetError(
            f'entry {number} of {path} lacks a "from" or "value", or its "image" is no name'
        ) from error
    speakers = [speaker for speaker, _ in said]
    if not said or len(said) % 2 or speakers != list(_SPEAKERS) * (len(said) // 2):
        raise DatasetError(f'entry {number} ({name}) of {path} is no exchange of "human" and "gpt" in turn')
    places = sum(text.count(IMAGE) for speaker, text in said if speaker == "human")
    if places != len(names):
        raise DatasetError(
            f"entry {number} ({name}) of {path} names {len(names)} volumes and has {places} {IMAGE} in its "
            "questions; write one for each"
        )
    own = [_volume_name(one) for one in names]
    if any(one not in files for one in own):
        return None
    turns = tuple(Turn(said[place][1], said[place + 1][1]) for place in range(0, len(said), 2))
    return Conversation(name=name, files=tuple(files[one] for one in own), turns=turns)


def _volume_name(given: str) -> str:
    """A volume's name without folder and ending, as CT-RATE's tables write it."""
    return without_ending(given.replace("\\", "/").rpartition("/")[2])
