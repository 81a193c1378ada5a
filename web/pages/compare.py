"""The question beside a hit: two volumes, scrolled together."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from retrieval.compared import ComparedVolume, compared_volume
from retrieval.sessions import one_state
from retrieval.voxel_sources import UPLOAD
from retrieval.windows import PRESETS
from web.access.caller import Caller, Reader
from web.desk import Desk, desk_of
from web.jobs.uploads import own_upload
from web.pages.hit_view import facts
from web.problems import NotFoundError
from web.templating import page

router = APIRouter(tags=["pages"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two volumes."""

    role: str  # query or hit
    address: str  # dataset/volume, or upload/ID
    title: str  # of the study, or what the upload was called
    case: ComparedVolume | None  # None: it was brought, and nothing is known of it
    facts: tuple[str, ...]
    shared: frozenset[str]  # findings that the other side has too


@router.get("/compare")
def compare_page(
    request: Request,
    caller: Reader,
    query: Annotated[str | None, Query(max_length=1200)] = None,
    hit: Annotated[str | None, Query(max_length=1200)] = None,
) -> Response:
    """Show one or two volumes; the rest of the address (z, plane, window, at, search) is the script's."""
    desk = desk_of(request)
    named = [(role, name) for role, name in (("query", query), ("hit", hit)) if name]
    if not named:
        raise NotFoundError("no volume is named: open the comparison from a result list")
    titles_and_cases = [_titled(desk, caller, name) for _, name in named]
    cases = [case for _, case in titles_and_cases]
    found = [set(case.labels) for case in cases if case is not None]
    shared = frozenset(found[0] & found[1]) if len(found) == 2 else frozenset()
    sides = [
        Side(
            role=role,
            address=name,
            title=title,
            case=case,
            facts=() if case is None else facts(case.metadata),
            shared=shared,
        )
        for (role, name), (title, case) in zip(named, titles_and_cases, strict=True)
    ]
    return page(request, "compare.html", {"sides": sides, "presets": PRESETS})


def _titled(desk: Desk, caller: Caller, address: str) -> tuple[str, ComparedVolume | None]:
    dataset, slash, volume = address.partition("/")
    if dataset == UPLOAD:
        return own_upload(desk.engine, volume, caller).name, None
    if not slash or not volume:
        raise NotFoundError(f"{address[:300]!r} names no volume: it is called DATASET/VOLUME")
    with one_state(desk.engine) as connection:
        case = compared_volume(connection, dataset, volume)
    return case.study, case
