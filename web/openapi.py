"""The API's description: how one signs in, what the tags mean, how every refusal looks."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from web.access.gate import PUBLIC
from web.access.origins import SAFE_METHODS
from web.api.problem_model import Problem, problems

_TAGS = {
    "search": "Similar cases, by words, case, report or upload; what filters would leave.",
    "cases": "What the archive holds of a study.",
    "scores": "The 18 findings: known, and scored from a stored latent.",
    "ask": "Questions about cases, answered with sentences of their reports.",
    "volumes": "Voxels: slices as PNG, previews and whole volumes as NIfTI.",
    "feedback": "What people found relevant; as qrels.",
    "exports": "Result lists to print and to file.",
    "collections": "Latents of one encoder: only these are compared with each other.",
    "uploads": "Scans that somebody brings to ask by.",
    "jobs": "Work that outlives a request: encoding, indexing.",
    "accounts": "Who may, and their tokens.",
    "audit": "Who saw which case.",
    "health": "Whether the application lives, is ready, and how it fares.",
}
_TEXT = """Similar past chest CTs from your own archive. **Research use only: nothing here is a diagnosis.**

Programs send a token: `Authorization: Bearer …`. Browsers that are signed in send a cookie; whatever changes
something then needs the header `X-CSRF-Token` too. Names of cases may hold slashes and other signs:
percent-encode them; the name is the last part of the path. Every refusal is `{"error": "one sentence"}`.
"""
_BEARER: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "The start-up token that `ctsearch serve` prints, or a token of an account.",
}
_COOKIE: dict[str, Any] = {
    "type": "apiKey",
    "in": "cookie",
    "name": "ctsearch-8080",
    "description": "Of a signed-in browser; named after the server's port, `__Host-` before it over TLS.",
}


def describe(app: FastAPI) -> None:
    """Make an application's description complete; it is built once, when it is first asked for."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _built(app)
        return app.openapi_schema

    # As FastAPI's own documentation extends a description.
    app.openapi = described  # type: ignore[method-assign]


def _built(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=version("ctsearch"),
        summary=app.summary,
        description=_TEXT,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = {"bearer": _BEARER, "cookie": _COOKIE}
    schemas = parts.setdefault("schemas", {})
    schemas.setdefault("Problem", Problem.model_json_schema())
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["security"] = [{"bearer": []}, {"cookie": []}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, path, method.upper())
    return document


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    """Add the refusals that the gate, the limits and the checks of every endpoint may answer with."""
    statuses = {400, 403, 422, 429, 503}
    if path in PUBLIC:
        operation["security"] = []
    else:
        statuses.add(401)
    if "{" in path:
        statuses |= {404, 409}
    if method not in SAFE_METHODS:
        statuses.add(413)
    described = operation.setdefault("responses", {})
    found = problems(*statuses)
    for status in statuses:
        given = described.get(str(status), {})
        schema = given.get("content", {}).get("application/json", {}).get("schema")
        if schema is None or "HTTPValidationError" in str(schema):
            described[str(status)] = {**_refusal(found[status]), **_told(given)}


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """What an endpoint says itself of why it refuses so."""
    text = given.get("description")
    return {} if text in (None, "Validation Error") else {"description": text}


def _refusal(said: dict[str, Any]) -> dict[str, Any]:
    body = {"schema": {"$ref": "#/components/schemas/Problem"}, **said["content"]["application/json"]}
    return {"description": said["description"], "content": {"application/json": body}}
