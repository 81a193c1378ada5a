"""The JSON that a language model must answer with; pydantic, which comes with the openai client, checks it.

Whoever imports this file has a `chat.openai_server.ChatServer` already, and with it the client.
"""

import json
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chat.vqa import ServerKind


class RejectedAnswer(Exception):  # noqa: N818 - it is counted, and the work goes on
    """An answer that is not taken; its text is the reason that it is counted under."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)


class _Pair(_Strict):
    question: Annotated[str, Field(min_length=8, max_length=1000)]
    answer: Annotated[str, Field(min_length=2, max_length=4000)]


class _Pairs(_Strict):
    pairs: Annotated[list[_Pair], Field(min_length=1, max_length=8)]


class _Conversation(_Pairs):
    pairs: Annotated[list[_Pair], Field(min_length=2, max_length=10)]


class _Description(_Strict):
    description: Annotated[str, Field(min_length=40, max_length=8000)]


class _Grade(_Strict):
    score: Annotated[int, Field(ge=0, le=10)]


_Shaped = TypeVar("_Shaped", bound=BaseModel)


def pairs_of(text: str, kind: ServerKind) -> tuple[tuple[str, str], ...]:
    """Return the questions and answers that a model's text holds; of a description ("", text).

    Raises:
        RejectedAnswer: it is no JSON, or not of the kind's shape.
    """
    if kind == "description":
        return (("", _read(text, _Description).description),)
    pairs = _read(text, _Conversation if kind == "conversation" else _Pairs).pairs
    return tuple((pair.question, pair.answer) for pair in pairs)


def grade_of(text: str) -> int:
    """Return the grade from 0 to 10 that a judge's text holds, as {"score": 7}.

    Raises:
        RejectedAnswer: it is no JSON, or no such grade.
    """
    return _read(text, _Grade).score


def example_of(kind: ServerKind) -> str:
    """Return the shape of a kind's answer as a model is shown it."""
    if kind == "description":
        return '{"description": "..."}'
    pair = '{"question": "...", "answer": "..."}'
    return f'{{"pairs": [{pair}, {pair}]}}'


def _read(text: str, model: type[_Shaped]) -> _Shaped:
    start, end = text.find("{"), text.rfind("}") + 1  # many models put words or a fence around it
    try:
        return model.model_validate(json.loads(text[start:end] if 0 <= start < end else text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(part for part in first["loc"] if isinstance(part, str)) or "the whole"
        raise RejectedAnswer(f"not of the schema: {where}: {first['type']}") from error
    except (ValueError, RecursionError) as error:
        raise RejectedAnswer("no JSON") from error
