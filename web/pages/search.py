"""The page with the search box, and result lists."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import CtsearchError
from retrieval.answers import Answer, SearchOptions
from retrieval.filters import Filters, parse_age
from web.access.caller import Reader
from web.desk import Desk, desk_of
from web.pages.hit_view import view_hits
from web.pages.links import State
from web.problems import status_of
from web.templating import page

router = APIRouter(tags=["pages"])

PAGE = 10  # hits that are shown at first, and more at a time
MOST = 200


@router.get("/")
def search_page(request: Request, caller: Reader) -> Response:
    """Show the search box and, where something is asked, its hits."""
    desk, state = desk_of(request), State.of(request.query_params.multi_items())
    context: dict[str, Any] = {
        "state": state,
        "findings": ABNORMALITIES,
        "collections": desk.store.collections(),
        "step": PAGE,
        "most": MOST,
        "k": int(state.one("k") or PAGE),
        "asked_json": "{}",
        "marks": {},
    }
    status = 200
    try:
        answer = _answer(desk, caller.name, state)
        context |= {"answer": answer, "hits": view_hits(answer) if answer else []}
    except CtsearchError as error:
        context |= {"answer": None, "hits": [], "problem": str(error)}
        status = status_of(error)
    return page(request, "search.html", context, status=status)


def _answer(desk: Desk, actor: str, state: State) -> Answer | None:
    service, collection = desk.search.on_behalf_of(actor), state.one("collection") or None
    if state.one("text"):
        return service.search_by_text(state.one("text"), _options(state), collection=collection)
    if state.one("case"):
        name = "/".join(filter(None, (state.one("dataset"), state.one("case"))))
        return service.search_by_case(name, _options(state), collection=collection)
    return None


def _options(state: State) -> SearchOptions:
    age = state.one("age")
    filters = Filters(
        labels=state.all("label"),
        without_labels=state.all("without_label"),
        sex=state.one("sex") or None,  # type: ignore[arg-type]
        age=parse_age(age) if age else None,
        manufacturer=state.one("manufacturer") or None,
        split=state.one("split") or None,
        dataset=state.one("dataset_filter") or None,
    )
    return SearchOptions(k=min(MOST, int(state.one("k") or PAGE)), filters=filters)
