"""What goes wrong, as an answer: the sentence of the error and a status, as JSON or as a page."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from encoders.errors import (
    CheckpointError,
    CtsearchError,
    DatabaseError,
    InputError,
    StorageError,
    UnknownNameError,
)
from web.templating import page


class WebError(CtsearchError):
    """A refusal that has a status of its own."""

    status = 400


class SignInNeededError(WebError):
    """Nobody is signed in."""

    status = 401

    def __init__(self) -> None:
        super().__init__("this needs a session: sign in, or send a token as Authorization: Bearer")


class ForbiddenError(WebError):
    """The caller's role may not."""

    status = 403


class NotFoundError(WebError):
    """There is nothing at this address."""

    status = 404


class NotReadyError(WebError):
    """What is asked for is still being made; `job` makes it."""

    status = 409

    def __init__(self, sentence: str, *, job: int | None = None) -> None:
        super().__init__(sentence)
        self.job = job


class TooLargeError(WebError):
    """A body, an archive or a volume beyond what is taken."""

    status = 413


class TooManyError(WebError):
    """Too many requests, or too much work waiting; `retry_after_s` tells when another may do."""

    status = 429

    def __init__(self, sentence: str, *, retry_after_s: int = 30) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class ConflictError(WebError):
    """What is there already stands against it."""

    status = 409


def status_of(error: CtsearchError) -> int:
    """Return the HTTP status that an error is answered with."""
    if isinstance(error, WebError):
        return error.status
    if isinstance(error, DatabaseError | StorageError | CheckpointError):
        return 503
    if isinstance(error, UnknownNameError):
        return 404
    return 422 if isinstance(error, InputError) else 500


def add_problems(app: FastAPI) -> None:
    """Answer every error of an application in one sentence."""
    app.add_exception_handler(CtsearchError, _of_ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_form)


async def _of_ours(request: Request, error: Exception) -> Response:
    if not isinstance(error, CtsearchError):
        raise TypeError(f"{type(error)} is no error of ctsearch")
    return answer_error(request, error)


async def _of_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError(f"{type(error)} is no HTTPException")
    return answer_problem(request, error.status_code, str(error.detail))


async def _of_form(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"{type(error)} is no RequestValidationError")
    return answer_problem(request, 422, _sentence(error.errors()[0]))


def _sentence(found: Mapping[str, Any]) -> str:
    """Return the first thing that is wrong with a request, without the value that was sent."""
    if found["type"] == "json_invalid":
        return f"the body is no JSON ({found['ctx']['error']}): send one JSON object"
    where = ".".join(str(part) for part in found["loc"][1:]) or f"the {found['loc'][0]}"
    return f"{where}: {found['msg'].removeprefix('Value error, ')}"


def answer_error(request: Request, error: CtsearchError) -> Response:
    """Return the answer that an error of ours is."""
    job = error.job if isinstance(error, NotReadyError) else None
    more = {} if job is None else {"job": job}
    answer = answer_problem(request, status_of(error), str(error), **more)
    if isinstance(error, TooManyError):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def answer_problem(request: Request, status: int, sentence: str, **more: Any) -> Response:
    """Return the answer to a request that failed: JSON under /api, with more keys, or a page elsewhere."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": sentence, **more}, status_code=status)
    return page(request, "problem.html", {"sentence": sentence, "status": status}, status=status)
