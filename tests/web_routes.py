"""Every route of the application, with what it demands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from web.access import caller

_DEMANDS = {caller._admin: "admin", caller._indexer: "indexer", caller.caller_of: "reader"}


@dataclass(frozen=True)
class Route:
    """One method of one path, its parameters filled in."""

    method: str
    path: str
    demands: str | None  # the highest role of its dependencies


def routes_of(app: FastAPI) -> list[Route]:
    """Every route, those out of the schema too; HEAD is GET's."""
    return [
        Route(method, _filled(route.path), _demand(getattr(route, "dependant", None)))
        for route in _flat(app.routes)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def _flat(routes: Any) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "effective_candidates"):  # a router as FastAPI includes it
            yield from _flat(route.effective_candidates())
        elif hasattr(route, "methods"):
            yield route


def _filled(path: str) -> str:
    """Fill parameters with 1, which all of them take."""
    parts = [("1" if part.startswith("{") else part) for part in path.split("/")]
    return "/".join(parts)


def _demand(dependant: Any) -> str | None:
    roles = list(_demanded(dependant)) if dependant is not None else []
    return max(roles, key=caller.ROLES.index, default=None)


def _demanded(dependant: Any) -> Iterator[Any]:
    if dependant.call in _DEMANDS:
        yield _DEMANDS[dependant.call]
    for each in dependant.dependencies:
        yield from _demanded(each)
