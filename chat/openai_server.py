"""An OpenAI-compatible server asked through the openai client, which is imported here alone."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chat.backends import BackendError
from chat.server_settings import ADDRESS, KEY, MODEL, TIMEOUT, ServerSettings
from encoders.errors import ConfigError

if TYPE_CHECKING:
    from openai import OpenAI

SERVER_FAILED = "the server failed"
"""The reason under which a request is counted that no answer came to."""

FAILURES_IN_A_ROW = 5
"""After so many, one after the other, a server is given up."""

_LONGEST_ANSWER = 4_000_000  # bytes on the wire: more is no answer
_LONGEST_QUOTE = 160  # characters of what a server said of itself


@dataclass(frozen=True, slots=True)
class Message:
    """One turn, as the protocol calls them."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatServer:
    """A server and the model that it is asked for."""

    def __init__(self, settings: ServerSettings) -> None:
        """Prepare to ask; nothing is sent yet.

        Raises:
            ConfigError: the openai client is not installed.
        """
        self.settings = settings
        self._client = _client(settings)

    def complete(self, messages: Sequence[Message]) -> str:
        """Return a whole answer, without what a model said to itself before it.

        Raises:
            BackendError: the server is down, too slow, or returns what is no answer.
        """
        return "".join(self.stream(messages)).rpartition("</think>")[2].strip()

    def stream(self, messages: Sequence[Message]) -> Iterator[str]:
        """Yield an answer in pieces, as they arrive.

        Raises:
            BackendError: the server is down, too slow, breaks off, or returns what is no answer.
        """
        ended, said = None, False
        for piece, reason in self._pieces(messages):
            ended = reason or ended
            if piece:
                said = said or bool(piece.strip())
                yield piece
        if ended == "length":
            raise self._error("stopped at its limit of tokens", "ask for less, or raise the server's limit")
        if ended is None or not said:
            what = "broke off in the middle of its answer" if said else "answered with nothing"
            raise self._error(what, f"look at its log and whether {ADDRESS} and {MODEL} are right")

    def _pieces(self, messages: Sequence[Message]) -> Iterator[tuple[str, str | None]]:
        turns: Any = [{"role": message.role, "content": message.content} for message in messages]
        with self._in_plain_words():
            chunks = self._client.chat.completions.create(
                model=self.settings.model, messages=turns, stream=True, temperature=0
            )
        with chunks:
            kind = chunks.response.headers.get("content-type", "no type")
            if not kind.startswith("text/event-stream"):
                raise self._error(f"answered with {_quoted(kind)} and no stream of events", _NO_CHAT)
            iterator = iter(chunks)
            while True:
                with self._in_plain_words(begun=True):
                    chunk = next(iterator, None)
                if chunk is None:
                    return
                yield self._piece(chunk)

    def _piece(self, chunk: Any) -> tuple[str, str | None]:
        """Return the text of a chunk and why the answer ends; the client checks neither."""
        choices: Any = getattr(chunk, "choices", None)
        if choices == []:  # what was used, at the end
            return "", None
        with suppress(AttributeError, IndexError, TypeError):
            text, reason = choices[0].delta.content, choices[0].finish_reason
            if isinstance(text, str | None) and isinstance(reason, str | None):
                return text or "", reason
        raise self._error("sent what is no piece of an answer", _NO_CHAT)

    @contextmanager
    def _in_plain_words(self, *, begun: bool = False) -> Iterator[None]:
        import httpx2
        import openai

        try:
            yield
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            waited = f"said nothing for {self.settings.timeout_s:g} s"
            raise self._error(waited, f"look at its load, or set {TIMEOUT} to more seconds") from error
        except openai.APIStatusError as error:
            raise self._status_error(error.status_code, _said(error)) from error
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            what = (
                "broke off in the middle of its answer" if begun else f"cannot be reached ({_quoted(cause)})"
            )
            raise self._error(what, f"see that it runs, or set {ADDRESS} to where it listens") from error
        except openai.APIError as error:
            raise self._error(f"reports an error ({_quoted(error.message)})", "look at its log") from error
        except (openai.OpenAIError, httpx2.InvalidURL, ValueError) as error:
            raise self._error("sent what cannot be read", _NO_CHAT) from error

    def _status_error(self, status: int, said: str) -> BackendError:
        if status in (401, 403):
            return self._error(f"refused the key ({status})", f"set {KEY} to one that it takes")
        if status == 404:
            what = f"knows no such address or model as {self.settings.model} (404)"
            return self._error(what, f"check {ADDRESS}, which mostly ends in /v1, and {MODEL}")
        if status == 429:
            return self._error("is too busy (429)", "ask again later")
        return self._error(f"answered with status {status}{said}", "look at its log")

    def _error(self, what: str, what_to_do: str) -> BackendError:
        return BackendError(f"the chat server at {self.settings.address} {what}: {what_to_do}")


_NO_CHAT = f"see that {ADDRESS} is a server of OpenAI's chat protocol, mostly ending in /v1"


def _client(settings: ServerSettings) -> "OpenAI":
    try:
        import httpx2
        import openai
    except ImportError as error:
        raise ConfigError(
            "asking a chat server needs the openai client: pip install 'ctsearch[openai]'"
        ) from error
    client = openai.OpenAI(
        base_url=settings.address,
        api_key=settings.key or "none",  # the client wants one, and would look for another service's
        max_retries=settings.retries,
        http_client=httpx2.Client(
            timeout=settings.timeout_s,
            follow_redirects=False,  # a server on this machine must not pass reports on
            trust_env=settings.leaves_machine,  # nor may a proxy stand between
            event_hooks={"response": [_bounds(settings)]},
        ),
    )
    client.organization = client.project = None  # those of another service, which the environment may name
    return client


def _bounds(settings: ServerSettings) -> Callable[[Any], None]:
    """End an answer that drips or never stops; the client's own timeout starts anew with each byte."""
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            end, size = time.monotonic() + settings.patience_s, 0
            for piece in self._stream:
                size += len(piece)
                if size > _LONGEST_ANSWER:
                    raise _endless(settings, f"{_LONGEST_ANSWER} bytes")
                if time.monotonic() > end:
                    raise _endless(settings, f"{settings.patience_s:g} s")
                yield piece

        def close(self) -> None:
            self._stream.close()

    def bound(response: Any) -> None:
        response.stream = Bounded(response.stream)

    return bound


def _endless(settings: ServerSettings, within: str) -> BackendError:
    return BackendError(
        f"the chat server at {settings.address} did not come to an end within {within}: "
        "look at its load and its limit of tokens"
    )


def _said(error: Any) -> str:
    """What a server says is wrong, in brackets; nothing where it says it as a page."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return f" ({_quoted(message)})" if isinstance(message, str) and message else ""


def _quoted(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "…"
