"""One's own password."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from encoders.errors import CtsearchError
from web.access.caller import Caller, Reader
from web.access.own_password import change_password
from web.access.passwords import LONGEST, SHORTEST
from web.problems import status_of
from web.templating import page

router = APIRouter(tags=["pages"])


@router.get("/password")
def show(request: Request, caller: Reader) -> Response:
    """Show the form."""
    return _page(request, caller)


@router.post("/password")
def change(
    request: Request, caller: Reader, old: Annotated[str, Form()] = "", new: Annotated[str, Form()] = ""
) -> Response:
    """Change it; whoever asks signs in anew."""
    try:
        change_password(request, caller, old=old, new=new)
    except CtsearchError as error:
        return _page(request, caller, sentence=str(error), status=status_of(error))
    return RedirectResponse("/sign-in", status_code=303)


def _page(request: Request, caller: Caller, *, sentence: str | None = None, status: int = 200) -> Response:
    known = {"name": caller.name, "sentence": sentence, "shortest": SHORTEST, "longest": LONGEST}
    return page(request, "password.html", known, status=status)
