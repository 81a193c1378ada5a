"""The API's description to read and to try; its files come from here, no other server is asked."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from web.access.caller import Reader
from web.templating import page

router = APIRouter(tags=["pages"])


@router.get("/docs")
def docs_page(request: Request, caller: Reader) -> Response:  # noqa: ARG001 - a session is demanded
    """Show the description that /api/v1/openapi.json is."""
    return page(request, "docs.html", {})
