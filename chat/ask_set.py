"""A whole set of questions is asked: of a model that sees volumes, or of the reports that are stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chat.answer import answer
from chat.backends import Asked, BackendError
from chat.choose_backend import ChosenBackend
from chat.context import CaseName, Context, Subject
from chat.evidence import Evidence
from chat.kept_answers import KeptAnswers
from chat.openai_server import FAILURES_IN_A_ROW
from chat.question_set import SetQuestion
from encoders.errors import ConfigError, InputError
from retrieval.index_summary import IndexProgress

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class AskedSummary:
    """What was asked, and what was not."""

    asked: int = 0
    kept: int = 0  # answered by an earlier run
    left_out: int = 0  # reports, where no volume is shown
    failed: list[tuple[str, str]] = field(default_factory=list)  # (question's id, why)

    def to_json(self) -> dict[str, Any]:
        """Return what `ask --questions --json` prints."""
        failed = [{"item": item, "error": error} for item, error in self.failed]
        return {"asked": self.asked, "kept": self.kept, "left_out": self.left_out, "failed": failed}


class SetAsker:
    """Asks the questions of a set one by one.

    A backend that takes volumes is shown these and nothing else, since the answers of a set are taken from
    reports. Any other reads the reports that are stored.
    """

    def __init__(
        self,
        context: Context,
        chosen: ChosenBackend,
        *,
        collection: str | None = None,
        without_volume: bool = False,
    ) -> None:
        """Get ready.

        Raises:
            ConfigError: a backend that sees no volumes is to be asked without them.
        """
        if without_volume and chosen.reader is None:
            raise ConfigError(
                f"--without-volume is for a model that sees volumes, and {chosen.backend.name} sees none: "
                "give --backend ct-chat"
            )
        self._context, self._chosen, self._collection = context, chosen, collection
        self._without_volume = without_volume
        self._last: tuple[tuple[CaseName, ...], tuple[Tensor, ...]] = ((), ())

    def ask(
        self, questions: Sequence[SetQuestion], kept: KeptAnswers, progress: IndexProgress
    ) -> AskedSummary:
        """Ask what is not answered yet, and keep each answer.

        Raises:
            BackendError: five questions in a row failed by the backend.
            StorageError: answers cannot be kept.
        """
        summary = AskedSummary(kept=sum(one.id in kept.by_id for one in questions))
        history: list[tuple[str, str]] = []
        failures = 0
        for number, one in enumerate(questions, start=1):
            if number == 1 or one.conversation != questions[number - 2].conversation:
                history = []
            if self._without_volume and one.task == "report_generation":
                summary.left_out += 1
                continue
            if one.id not in kept.by_id:
                try:
                    kept.add(one, self._answered(one, tuple(history)))
                except (BackendError, InputError) as error:
                    failures += isinstance(error, BackendError)
                    if failures == FAILURES_IN_A_ROW:
                        raise
                    summary.failed.append((one.id, str(error)))
                    continue
                summary.asked, failures = summary.asked + 1, 0
            history.append((one.question, kept.by_id[one.id]))
            progress.update(done=number, total=len(questions), failed=len(summary.failed), step="asking")
        return summary

    def _answered(self, one: SetQuestion, history: tuple[tuple[str, str], ...]) -> str:
        subject = Subject(names=one.images, collection=self._collection)
        if self._chosen.reader is None:
            evidence = self._context.evidence(subject, one.question)
            asked = Asked(question=one.question, mode=one.task, evidence=evidence, history=history)
            return answer(asked, self._chosen.backend).text
        shown = () if self._without_volume else self._shown(subject)
        asked = Asked(
            question=one.question,
            mode=one.task,
            evidence=Evidence(cases=(), has_volume=bool(shown)),
            history=history,
            volume_tokens=shown,
        )
        return "".join(self._chosen.backend.stream(asked)).strip()

    def _shown(self, subject: Subject) -> "tuple[Tensor, ...]":
        """The tokens of a question's volumes; those of the last question stay at hand."""
        if self._last[0] != subject.names:
            self._last = (subject.names, self._context.shown(subject, self._chosen.reader))
        return self._last[1]
