"""Answers to a set are kept as they come: a night's work outlives whatever ends the run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from chat.appended_lines import AppendedLines
from chat.kept_entries import ENDING
from chat.question_set import SetQuestion
from encoders.errors import ConfigError


class KeptAnswers:
    """Answers by the id of their question, beside the file that they end in."""

    def __init__(self, out: Path, asked: Mapping[str, object]) -> None:
        """Find what an earlier run left.

        Args:
            out: the file of answers.
            asked: what was asked of whom, as JSON; what is left of another run is not taken.

        Raises:
            ConfigError: there are answers already, or another run's are left.
        """
        self._out, self._path = out, out.with_name(out.name + ENDING)
        self._first = json.dumps(asked, sort_keys=True)
        self._kept = AppendedLines(self._path, first=self._first, then="make room, and give the same command")
        lines = _lines(self._path)
        if lines and lines[0] != self._first:
            raise ConfigError(f"{self._path} is left of a run with another set or model: delete it")
        if not lines and out.exists():
            raise ConfigError(f"{out} holds answers already: delete it, or name another file")
        self.by_id = dict(_answers(lines[1:]))

    def add(self, question: SetQuestion, answer: str) -> None:
        """Keep an answer.

        Raises:
            StorageError: the disk is full, or may not be written to.
        """
        self.by_id[question.id] = answer
        self._kept.add(json.dumps({"id": question.id, "answer": answer}, ensure_ascii=False))

    def write(self, questions: Sequence[SetQuestion], *, whole: bool) -> None:
        """Write the answers that there are, whole or not at all; if they are all, nothing stays beside them.

        Raises:
            StorageError: the file cannot be written.
        """
        from retrieval.atomic_file import written_atomically

        self.close()
        with written_atomically(self._out) as stream:
            for one in questions:
                if one.id in self.by_id:
                    told = {"id": one.id, "task": one.task, "question": one.question}
                    told |= {"reference": one.reference, "answer": self.by_id[one.id]}
                    stream.write(f"{json.dumps(told, ensure_ascii=False)}\n".encode())
        if whole:
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """End; what was kept stays."""
        self._kept.close()


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): check it, or name another") from error
    return text.split("\n") if text else []  # nothing was kept where the disk was full at once


def _answers(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return what was kept; a line that was cut off is asked again."""
    found = []
    for line in lines:
        try:
            row = json.loads(line)
            found.append((str(row["id"]), str(row["answer"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found
