"""A collection on a plane."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import CtsearchError
from retrieval.label_bits import bits_of
from retrieval.latent_map import LatentMap, LatentMaps, MapMethod
from retrieval.sessions import one_state
from web.access.caller import Reader
from web.asked import service_for
from web.audit import record
from web.desk import desk_of
from web.problems import status_of
from web.templating import page

router = APIRouter(tags=["pages"])


@router.get("/map")
def map_page(
    request: Request,
    caller: Reader,
    collection: str | None = None,
    method: str = "pca",
    finding: str = "",
) -> Response:
    """Show the frame of a map; its points are fetched by the page."""
    desk = desk_of(request)
    context = {
        "collections": desk.store.collections(),
        "findings": {name: bits_of([name]) for name in ABNORMALITIES},
        "method": method,
        "finding": finding,
        "collection": collection,
    }
    status = 200
    try:
        context["collection"] = service_for(desk, caller).collection(collection).name
    except CtsearchError as error:
        context["problem"], status = str(error), status_of(error)
    if not context["collections"]:
        status = 200
    return page(request, "map.html", context, status=status)


@router.get("/map-points")
def map_points(
    request: Request, caller: Reader, collection: str | None = None, method: MapMethod = "pca"
) -> Response:
    """Return the points of a map, as its page draws them."""
    desk = desk_of(request)
    info = service_for(desk, caller).collection(collection)
    with one_state(desk.engine) as connection:
        drawn = _maps(request).map_of(connection, info, method)
    record(desk, caller, "map", f"collection {info.name}", studies=len(drawn.points))
    return JSONResponse(_document(drawn))


def _maps(request: Request) -> LatentMaps:
    """Return the application's maps."""
    state = request.app.state
    if not hasattr(state, "maps"):
        state.maps = LatentMaps()
    maps: LatentMaps = state.maps
    return maps


def _document(drawn: LatentMap) -> dict[str, object]:
    datasets = sorted({point.dataset for point in drawn.points})
    number = {name: place for place, name in enumerate(datasets)}
    return {
        "collection": drawn.collection,
        "method": drawn.method,
        "kept_share": drawn.kept_share,
        "datasets": datasets,
        "points": [
            [
                round(point.x, 4),
                round(point.y, 4),
                point.known,
                point.present,
                number[point.dataset],
                point.study,
            ]
            for point in drawn.points
        ],
    }
