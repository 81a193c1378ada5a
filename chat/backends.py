"""What writes the draft of an answer: one protocol, whatever stands behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from chat.evidence import Evidence
from encoders.errors import CtsearchError

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["long_answer", "short_answer", "multiple_choice", "report_generation"]


class BackendError(CtsearchError):
    """A backend that is down, too slow, or returns what is no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with all that a backend may know of it."""

    question: str
    mode: Mode = "long_answer"
    evidence: Evidence
    history: tuple[tuple[str, str], ...] = ()  # (question, answer), oldest first
    volume_tokens: "tuple[Tensor, ...]" = ()  # each (N, C), one a volume shown


class Backend(Protocol):
    """Writes drafts; what they claim is checked afterwards, in `chat.answer`."""

    @property
    def name(self) -> str:
        """What `ask --json` calls it."""
        ...

    @property
    def takes_volumes(self) -> bool:
        """Whether it reads `volume_tokens`."""
        ...

    def stream(self, asked: Asked) -> Iterator[str]:
        """Yield the draft in pieces; it cites as `[STUDY section N]`, e.g. `[valid_12_a findings 4]`.

        Raises:
            BackendError: it is down, too slow, or returns what is no answer.
        """
        ...
