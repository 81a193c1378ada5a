"""The backend `ct-chat`: a chat model on this machine, which sees the volumes themselves."""

from collections.abc import Iterator
from pathlib import Path

import torch

from chat.backends import Asked, BackendError
from chat.chat_format import IMAGE, Turn
from chat.directory import load_chat_model
from chat.evidence import Quote
from chat.model import ChatModel
from chat.scope import speaks_of_cases
from chat.volume_tokens import VolumeTokens
from encoders.encoder import load_encoder
from encoders.errors import CheckpointError, InputError
from retrieval.cases import RescaleRule

ANSWER_TOKENS = 512
_CITE = "Answer from these sentences of reports, and cite each as it stands in brackets."


class CtChat:
    """A loaded chat model as a `Backend`."""

    name = "ct-chat"
    takes_volumes = True

    def __init__(self, model: ChatModel, *, limit: int = ANSWER_TOKENS) -> None:
        """Wrap a model; `limit` is the most tokens of an answer."""
        self.model, self.limit = model, limit

    def volume_tokens(
        self, folder: Path | None, *, encoder: str | Path | None = None, rule: RescaleRule = "auto"
    ) -> VolumeTokens:
        """Return what reads the volumes that it is shown, through the encoder that it was trained on.

        Args:
            folder: where tokens are kept, as a rule `retrieval.kept_tokens.tokens_folder()`; None keeps none.
            encoder: name or directory, where the model does not say.
            rule: who is believed about Hounsfield units.

        Raises:
            CheckpointError: there is no such encoder, or it is another one.
        """
        named = encoder or self.model.encoder
        if not named:
            raise CheckpointError(
                f"{self.model.name} does not say through which encoder it sees: name it with --encoder"
            )
        loaded = load_encoder(named, device=str(self.model.device))
        if self.model.encoder_digest not in ("", loaded.digest):
            raise CheckpointError(
                f"{self.model.name} sees through another encoder than {named}; name the one it was trained on"
            )
        return VolumeTokens(folder, loaded, rule)

    def stream(self, asked: Asked) -> Iterator[str]:
        """Yield the answer in pieces.

        Volumes stand before the question, the sentences that it picked between the two; earlier turns are
        told as text. What reports and questions say is text: nothing in it ends a turn or names a volume.

        Raises:
            BackendError: a report is asked for and no volume is shown, the volumes are another encoder's, or
                the question is longer than the model reads.
        """
        if asked.mode == "report_generation" and not asked.volume_tokens:
            raise BackendError(
                "a report is written of a volume and none is shown; ask with --volume or --case"
            )
        try:
            yield from self.model.stream(self._turns(asked), asked.volume_tokens, limit=self.limit)
        except InputError as error:
            raise BackendError(f"{self.model.name} cannot answer: {error}") from error
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"the device has no room for {self.model.name}'s answer; ask with fewer cases or volumes"
            ) from error

    def _turns(self, asked: Asked) -> list[Turn]:
        form = self.model.format
        earlier = [Turn(form.plain(question), answer) for question, answer in asked.history]
        shown = self._shown(len(asked.volume_tokens))
        chosen = asked.evidence.chosen if self._wants_reports(asked) else ()
        evidence = "".join([f"{_CITE}\n", *(form.plain(_line(quote)) for quote in chosen)]) if chosen else ""
        return [*earlier, Turn(f"{shown}{evidence}{form.question(asked.question, asked.mode)}")]

    @staticmethod
    def _wants_reports(asked: Asked) -> bool:
        """Other patients' reports stand beside a volume only where the question is about them."""
        is_of_volume = asked.evidence.of_others and asked.volume_tokens
        return not is_of_volume or speaks_of_cases(asked.question)

    def _shown(self, volumes: int) -> str:
        """One volume as it was trained; several with their numbers."""
        if volumes == 1:
            return f"{IMAGE}\n"
        return "".join(f"Volume {number}: {IMAGE}\n" for number in range(1, volumes + 1))


def load_ct_chat(
    directory: str | Path,
    *,
    base: str | Path | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> CtChat:
    """Load the backend from a chat model's directory.

    Raises:
        CheckpointError: see `chat.directory.load_chat_model`.
        ConfigError: likewise.
    """
    return CtChat(load_chat_model(directory, base=base, device=device, dtype=dtype))


def _line(quote: Quote) -> str:
    return f"[{quote.study} {quote.section} {quote.sentence}] {quote.text}\n"
