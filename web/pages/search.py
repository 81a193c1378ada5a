"""The page with the search box, and result lists."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from starlette.responses import Response

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import CtsearchError, SearchError
from retrieval.facets import Facets
from retrieval.filters import Filters
from retrieval.relevance import marks_of
from retrieval.service import CaseSearch
from retrieval.sessions import one_state
from web.access.caller import Caller, Reader
from web.asked import SearchBody, SearchLink, answer_search, service_for, subjects_of
from web.audit import record
from web.desk import Desk, desk_of
from web.pages.hit_view import view_hits
from web.pages.links import State
from web.problems import NotReadyError, status_of
from web.templating import page

router = APIRouter(tags=["pages"])

STEP = 10  # hits that are shown at first, and more at a time
MOST = 200
OF_A_REPORT = 30  # hits at once: a report is in no address, so there is none for more of them
_FILTERS = ("label", "without_label", "sex", "age", "manufacturer", "split", "dataset_filter")
_LISTS = ("label", "without_label", "leg")


@router.get("/")
def search_page(request: Request, caller: Reader) -> Response:
    """Show the search box and, where something is asked, its hits."""
    state = State.of(request.query_params.multi_items())
    if state.one("text"):
        state = state.asking(text=state.one("text")).changed({"k": state.one("k") or None})
    return _shown(request, caller, state)


@router.post("/")
def search_by_report(
    request: Request,
    caller: Reader,
    report: Annotated[str, Form()] = "",
    filters: Annotated[str, Form()] = "",
) -> Response:
    """Show the cases most like a report; it is in the body, for addresses are kept in logs and histories.

    `filters` are those of the page as an address has them.
    """
    state = State.of(parse_qsl(filters)).asking().changed({"k": OF_A_REPORT})
    return _shown(request, caller, state, report=report)


def _shown(request: Request, caller: Caller, state: State, report: str | None = None) -> Response:
    desk = desk_of(request)
    service = service_for(desk, caller)
    context: dict[str, Any] = {
        "state": state,
        "report": report,
        "findings": ABNORMALITIES,
        "collections": desk.store.collections(),
        "step": STEP,
        "most": MOST,
        "unfiltered": _unfiltered(state),
        "answer": None,
    }
    status = 200
    try:
        asked = _asked(state, report)
        filters = asked.filters(asked.labels, asked.without_labels)
        context |= {"k": asked.k, "facets": service.facets(filters)}
        if context["collections"] and (report is not None or any(map(state.one, ("text", "case", "upload")))):
            context |= _found(desk, caller, asked, service, state)
    except CtsearchError as error:
        context["problem"], status = str(error), status_of(error)
        context["job"] = error.job if isinstance(error, NotReadyError) else None
    context["facets"] = context.get("facets") or _all_facets(service)
    return page(request, "search.html", context, status=status)


def _unfiltered(state: State) -> str | None:
    """Return the address without the filters that are set; None where none is."""
    is_set = any(map(state.one, _FILTERS))
    return state.changed(dict.fromkeys(_FILTERS)).address() if is_set else None


def _asked(state: State, report: str | None) -> SearchBody:
    """Return the search that an address asks for.

    Raises:
        SearchError: a parameter has no such value.
    """
    given: dict[str, Any] = {name: value for name, value in state.items if name not in _LISTS}
    given |= {name: list(state.all(name)) for name in _LISTS if state.all(name)}
    try:
        body = SearchLink.model_validate(given).to_body()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise SearchError(f"{name} in this address cannot be understood: {first['msg']}") from error
    return body.model_copy(update={"report": report, "k": min(MOST, body.k)})


def _found(
    desk: Desk, caller: Caller, asked: SearchBody, service: CaseSearch, state: State
) -> Mapping[str, Any]:
    answer = answer_search(desk, caller, asked)
    record(desk, caller, "search", f"collection {answer.collection}", cases=subjects_of(answer))
    return {
        "answer": answer,
        "hits": view_hits(answer, "" if asked.report else state.address("").removeprefix("?")),
        "marks": _marks(desk, caller, asked),
        "asked_json": asked.model_dump_json(exclude_defaults=True, exclude={"k"}),
        "narrow": [] if answer.hits else _too_narrow(service, state, asked),
        "upload_name": answer.query.get("name"),
    }


def _marks(desk: Desk, caller: Caller, asked: SearchBody) -> dict[tuple[str, str], str]:
    """Return what the caller said of hits of this search, by data set and study: true or false."""
    query = asked.model_dump(exclude_none=True, exclude_defaults=True)
    with one_state(desk.engine) as connection:
        said = marks_of(connection, actor=caller.name, query=query)
    return {(mark.dataset, mark.study): str(mark.relevant).lower() for mark in said}


def _too_narrow(service: CaseSearch, state: State, asked: SearchBody) -> list[dict[str, Any]]:
    """Return each filter without which there would be cases, with how many and the address of that."""
    found = []
    for name in _FILTERS:
        for value in state.all(name):
            others = tuple(each for each in state.all(name) if each != value)
            less = state.changed({name: others})
            body = _asked(less, asked.report)
            count = service.count_studies(body.filters(body.labels, body.without_labels))
            if count:
                found.append({"name": _filter_name(name, value), "count": count, "address": less.address()})
    return found


def _filter_name(name: str, value: str) -> str:
    return {"without_label": f"no {value}", "age": f"age {value}", "sex": f"sex {value}"}.get(name, value)


def _all_facets(service: CaseSearch) -> Facets:
    """Counts for the filters of a page whose own cannot be understood."""
    return service.facets(Filters())
