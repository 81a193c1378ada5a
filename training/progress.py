"""What a training says of itself: log lines, log.jsonl, TensorBoard, and the examples it had to leave out."""

import csv
import json
import logging
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from encoders.errors import DatasetError
from training.checkpoint import TrainingState
from training.distributed import Place, gather_rows
from training.runs import Run
from training.stream import Missing
from training.tensorboard import open_events

LOG_FILE, MISSING_FILE = "log.jsonl", "missing.csv"
MOST_MISSING = 0.01  # of the examples
_log = logging.getLogger(__name__)


class Progress:
    """Keeps count over a run and writes on the first process; a context manager."""

    def __init__(self, folder: Path, run: Run, place: Place, state: TrainingState) -> None:
        self.folder, self.run, self.place, self.done = folder, run, place, state.done
        folder.mkdir(parents=True, exist_ok=True)
        if place.is_first:
            _forget_after(folder / LOG_FILE, self.done.step)
        self._events = open_events(folder / "tensorboard", self.done.step) if place.is_first else None
        self._line_began, self._line_first = time.monotonic(), self.done.step

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()

    def note_missing(self, missing: Sequence[Missing], *, of: int) -> None:
        """Count examples that could not be read, on all processes; each counts once, however often it fails.

        Raises:
            DatasetError: they are more than 1 % of all.
        """
        new = [one for one in missing if one.index not in self.done.missing]
        for one in new:
            _log.warning("left out %s: %s", one.name, one.error)
        self._list_missing(new)
        self.done.missing |= self._everywhere([one.index for one in missing])
        count = len(self.done.missing)
        if count > MOST_MISSING * of:
            raise DatasetError(
                f"{count} of {of} volumes cannot be read, more than {MOST_MISSING:.0%}: see "
                f"{self.folder / MISSING_FILE}, mend or remove them, and go on with --resume"
            )

    def note_step(self, step: int, figures: Mapping[str, float]) -> None:
        """Take note of a step, from 0, and write a line where one is due."""
        self.done.pending.append(figures["loss"])
        if (step + 1) % self.run.log_every and step + 1 != self.run.steps:
            return
        seconds = max(time.monotonic() - self._line_began, 1e-9)
        speed = (step + 1 - self._line_first) / seconds
        line = {
            "step": step + 1,
            **figures,
            "loss": sum(self.done.pending) / len(self.done.pending),
            "memory_gb": _memory_gb(self.place),
            "volumes_per_second": speed * self.run.batch_size,
            "seconds_left": (self.run.steps - step - 1) / speed,
            "missing": len(self.done.missing),
        }
        self.done.pending.clear()
        self.restart_clock(step)
        if self.place.is_first:
            _log.info(_sentence(line, self.run.steps))
            self._write(line)

    def note_evaluation(self, step: int, figures: Mapping[str, float]) -> None:
        """Take note of figures on data held out."""
        if figures and self.place.is_first:
            said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            _log.info("step %d: %s", step + 1, said)
            self._write({"step": step + 1, **{f"evaluation/{name}": v for name, v in figures.items()}})

    def restart_clock(self, step: int) -> None:
        """Count no longer what has been done up to now, an evaluation or a checkpoint, as time of steps."""
        self._line_began, self._line_first = time.monotonic(), step + 1

    def _write(self, line: Mapping[str, float]) -> None:
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._events is not None:
            for name, value in line.items():
                self._events.add_scalar(name, value, int(line["step"]))

    def _everywhere(self, indices: Sequence[int]) -> set[int]:
        """Indices found by all processes."""
        if self.place.processes == 1:
            return set(indices)
        room = self.run.batch_size // self.place.processes
        row = torch.full((room,), -1, dtype=torch.int64)
        row[: len(indices)] = torch.tensor(indices, dtype=torch.int64)
        return set(gather_rows(row.to(self.place.device), self.place).tolist()) - {-1}

    def _list_missing(self, new: Sequence[Missing]) -> None:
        if not new:
            return
        with (self.folder / MISSING_FILE).open("a", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows((one.name, one.error) for one in new)


def _sentence(line: Mapping[str, float], steps: int) -> str:
    parts = [f"step {line['step']:.0f} of {steps}: loss {line['loss']:.4f}"]
    parts += [f"temperature {line['temperature']:.2f}"] if "temperature" in line else []
    parts += [
        f"rate {line['rate']:.2e}",
        f"gradient {line['gradient_norm']:.2f}",
        f"{line['memory_gb']:.1f} GB",
        f"{line['volumes_per_second']:.1f} volumes/s",
        f"{line['seconds_left']:.0f} s left",
    ]
    parts += [f"{line['missing']:.0f} volumes left out"] if line["missing"] else []
    return ", ".join(parts)


def _memory_gb(place: Place) -> float:
    """The most that was in use so far: of the GPU, or of this process."""
    if place.device.type == "cuda":
        return torch.cuda.max_memory_allocated(place.device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _forget_after(path: Path, step: int) -> None:
    """Drop lines about steps that a killed run had done after its last checkpoint."""
    if not path.exists():
        return
    kept = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(text)["step"] <= step:
                kept.append(text + "\n")
        except (ValueError, KeyError):  # half a line
            continue
    path.write_text("".join(kept), encoding="utf-8")
