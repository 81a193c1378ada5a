"""Who drafts answers for the web, chosen when the application starts, and answers as events."""

import json
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from fastapi.sse import format_sse_event

from encoders.errors import ConfigError, CtsearchError
from retrieval.archive_key import existing_key
from web.access.caller import Caller
from web.asked import service_for
from web.desk import Desk
from web.settings import WebSettings

if TYPE_CHECKING:
    from chat.answer import Answer
    from chat.backends import Mode
    from chat.choose_backend import ChosenBackend
    from chat.context import Subject
    from chat.conversation import Conversation

_KEEP_ALIVE_S = 15.0  # proxies close a stream that is silent for longer
_END = None


class _GoneError(Exception):
    """Whoever asked has left."""


@cache
def chosen_backend(settings: WebSettings) -> "ChosenBackend":
    """Return what drafts answers, as the application was started; loaded once.

    Raises:
        ConfigError: it needs a model or a server and none is named, or reports would leave this machine and
            nobody allowed that.
        CheckpointError: the model's parts do not fit each other.
    """
    from pathlib import Path

    from chat.choose_backend import LocalModel, choose_backend

    model = LocalModel(
        directory=None if settings.chat_model is None else Path(settings.chat_model), device=settings.device
    )
    chosen = choose_backend(settings.chat_backend, model)
    if chosen.sends_to is not None and not settings.reports_may_leave:
        raise ConfigError(
            f"the backend {settings.chat_backend} would send reports to {chosen.sends_to}, off this machine: "
            "allow it with --reports-may-leave, or take the backend extractive"
        )
    return chosen


def open_conversation(
    desk: Desk,
    caller: Caller,
    subject: "Subject",
    *,
    mode: "Mode",
    history: tuple[tuple[str, str], ...],
) -> "Conversation":
    """Return a conversation about cases, with the encoders that searches use; its cases are there.

    Raises:
        UnknownNameError: a case is not there.
        VolumeError: a volume that the backend is to be shown cannot be read.
    """
    from chat.context import Context
    from chat.conversation import Conversation

    key = existing_key() if caller.may("admin") else None
    context = Context(desk.engine, key=key, search=service_for(desk, caller))
    chosen = chosen_backend(desk.settings)
    shown = context.shown(subject, chosen.reader)
    conversation = Conversation(
        context, subject, chosen.backend, mode=mode, volume_tokens=shown, history=history
    )
    conversation.evidence()
    return conversation


def answer_events(conversation: "Conversation", question: str) -> Iterator[bytes]:
    """Yield server-sent events: each sentence as it is checked, then the whole answer, or what went wrong.

    The answer is worked out in a thread of its own; where the reader leaves, it ends at the next sentence.
    """
    events: SimpleQueue[bytes | None] = SimpleQueue()
    left = threading.Event()

    def say(sentence: str) -> None:
        if left.is_set():
            raise _GoneError
        events.put(_event("sentence", {"text": sentence}))

    def work() -> None:
        try:
            answer = conversation.ask(question, say)
            events.put(_event("answer", answer_document(answer, conversation.warnings)))
        except CtsearchError as error:
            events.put(_event("problem", {"error": str(error)}))
        except _GoneError:
            pass
        except Exception:
            events.put(_event("problem", {"error": "the answer could not be worked out: ask once more"}))
            raise
        finally:
            events.put(_END)

    threading.Thread(target=work, name="answers", daemon=True).start()
    try:
        yield from _until_end(events)
    finally:
        left.set()


def answer_document(answer: "Answer", warnings: tuple[str, ...]) -> dict[str, Any]:
    """Return what `ctsearch ask --json` prints, and what the search for cases had to say."""
    return {**answer.to_json(), "warnings": list(warnings)}


def _until_end(events: "SimpleQueue[bytes | None]") -> Iterator[bytes]:
    while True:
        try:
            event = events.get(timeout=_KEEP_ALIVE_S)
        except Empty:
            yield format_sse_event(comment="working")
            continue
        if event is _END:
            return
        yield event


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data, ensure_ascii=False))
