"""A conversation about one subject: what was asked and answered, and what each answer rested on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chat.answer import Answer, answer, check_question
from chat.backends import Asked, Backend, Mode
from chat.context import Context, Subject
from chat.evidence import Evidence

if TYPE_CHECKING:
    from torch import Tensor


class Conversation:
    """Asks about one subject; earlier questions and answers go with each new one.

    `volume_tokens` are of the volumes that the backend is shown, for one that takes them.
    """

    def __init__(
        self,
        context: Context,
        subject: Subject,
        backend: Backend,
        *,
        mode: Mode = "long_answer",
        volume_tokens: "tuple[Tensor, ...]" = (),
        history: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._context = context
        self._subject = subject
        self._backend = backend
        self._mode = mode
        self._volume_tokens = volume_tokens
        self._history = list(history)  # (question, answer), oldest first
        self.last: Answer | None = None

    def ask(self, question: str, on_text: Callable[[str], None] | None = None) -> Answer:
        """Answer a question, and remember it.

        Args:
            question: as typed.
            on_text: is given each sentence as soon as it is checked.

        Raises:
            SearchError: the question is empty or too long, or a case is not there.
            BackendError: the backend is down, too slow, or returns what is no answer.
        """
        check_question(question)
        evidence = self.evidence(question)
        asked = Asked(
            question=question,
            mode=self._mode,
            evidence=replace(evidence, has_volume=evidence.has_volume or bool(self._volume_tokens)),
            history=tuple(self._history),
            volume_tokens=self._volume_tokens,
        )
        self.last = answer(asked, self._backend, on_text)
        self._history.append((question, self.last.text))
        return self.last

    def evidence(self, question: str = "") -> Evidence:
        """Return what a question would be answered from; of no question, the cases."""
        return self._context.evidence(self._subject, question)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the last search for cases has to say."""
        return self._context.warnings
