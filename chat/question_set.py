"""A set of questions with the answers they should get, as `ctsearch chat-data` writes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from chat.backends import Mode
from chat.vqa import plain, read_entries

TASKS: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetQuestion:
    """One question of a conversation."""

    id: str  # the conversation's; of several questions with "_turn_" and their number
    conversation: str
    task: Mode
    question: str
    reference: str
    images: tuple[str, ...] = ()  # names of the volumes that it is about


def read_questions(path: Path) -> Iterator[SetQuestion]:
    """Yield the questions of a set in their order, those of a conversation one after the other.

    Raises:
        DatasetError: it is no such file.
    """
    for entry in read_entries(path):
        turns = entry["conversations"]
        pairs = list(zip(turns[::2], turns[1::2], strict=False))
        image = entry.get("image")
        images = image if isinstance(image, list) else [image] if image else []
        for number, (human, gpt) in enumerate(pairs, start=1):
            asked = str(human.get("value", ""))
            yield SetQuestion(
                id=str(entry.get("id")) + (f"_turn_{number}" if len(pairs) > 1 else ""),
                conversation=str(entry.get("id")),
                task=next((one for one in TASKS if f"<{one}>" in asked), "long_answer"),
                question=plain(asked).strip(),
                reference=str(gpt.get("value", "")),
                images=tuple(map(str, images)),
            )
