"""Questions and answers about volumes as LLaVA reads them: one entry a conversation, one file a set."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from chat.backends import Mode
from encoders.errors import DatasetError
from retrieval.atomic_file import written_atomically

RuleKind = Literal["presence", "location", "abnormality", "disorder", "choice", "report"]
ServerKind = Literal["conversation", "description", "free-response", "article"]
Kind = RuleKind | ServerKind
RULE_KINDS: tuple[RuleKind, ...] = get_args(RuleKind)
OF_A_REPORT: tuple[ServerKind, ...] = ("conversation", "description", "free-response")  # by a server

MODES: dict[Kind, Mode] = {
    "presence": "short_answer",
    "location": "short_answer",
    "abnormality": "short_answer",
    "disorder": "short_answer",
    "choice": "multiple_choice",
    "report": "report_generation",
    "conversation": "long_answer",
    "description": "long_answer",
    "free-response": "long_answer",
    "article": "long_answer",
}
"""How an answer of each kind is asked for (arXiv 2403.17834, the VQA set of CT-CHAT)."""

_BY_SERVER = re.compile(rf"_({'|'.join(get_args(ServerKind))})(?:_\d+)+$")
_GIVE = "give a list in LLaVA's format, as ctsearch chat-data writes it"
_MARK = re.compile(rf"<(?:image|{'|'.join(get_args(Mode))})>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One conversation about one volume, or about none."""

    id: str
    kind: Kind
    image: str | None  # the volume's name without a file ending; None for text alone
    turns: tuple[tuple[str, str], ...]  # (question, answer)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as LLaVA reads it: `<image>` first, the task token after each question."""
        token = f"<{MODES[self.kind]}>"
        conversations = []
        for number, (question, answer) in enumerate(self.turns):
            shown = "<image>\n" if self.image is not None and number == 0 else ""
            conversations += [
                {"from": "human", "value": f"{shown}{plain(question)}{token}"},
                {"from": "gpt", "value": plain(answer)},
            ]
        image = {} if self.image is None else {"image": self.image}
        return {"id": self.id, **image, "conversations": conversations}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Entry | None":
        """Read an entry that a server wrote for an earlier set; None where it is of another kind."""
        found = _BY_SERVER.search(str(data.get("id", "")))
        if found is None:
            return None
        kind: ServerKind = found[1]  # type: ignore[assignment]
        values = [plain(str(turn.get("value", ""))).strip() for turn in data["conversations"]]
        turns = tuple(zip(values[::2], values[1::2], strict=False))
        return cls(id=str(data["id"]), kind=kind, image=data.get("image"), turns=turns)


def plain(text: str) -> str:
    """Return a text without words that would be read as a volume or a task, whoever wrote them."""
    while _MARK.search(text):  # what is left may close up to another
        text = _MARK.sub(" ", text)
    return text


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Write a set as one JSON list; the file is whole or not there.

    Raises:
        StorageError: it cannot be written.
    """
    with written_atomically(path) as stream:
        stream.write(b"[")
        for number, entry in enumerate(entries):
            line = json.dumps(entry.to_json(), ensure_ascii=False)
            stream.write(f"{',' if number else ''}\n{line}".encode())
        stream.write(b"\n]\n")


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a file in LLaVA's format, as JSON.

    Raises:
        DatasetError: it is no such file; the first entry at fault is named.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): check its name") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({error}): {_GIVE}") from error
    if not isinstance(entries, list):
        raise DatasetError(f"{path} is no list of conversations: {_GIVE}")
    for number, entry in enumerate(entries, 1):
        if not is_entry(entry):
            raise DatasetError(f'entry {number} of {path} has no "conversations" with turns: {_GIVE}')
    yield from entries


def is_entry(data: object) -> bool:
    """Whether JSON is an entry in LLaVA's format, as far as anybody reads it."""
    turns = data.get("conversations") if isinstance(data, dict) else None
    return isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)
