"""Accounts, for admins: who may, and what; their tokens. Plain forms, each answered by the page anew."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from encoders.errors import CtsearchError
from web.access.access_tokens import AccessTokens
from web.access.accounts import Accounts
from web.access.caller import ROLES, Admin
from web.desk import desk_of
from web.problems import status_of
from web.templating import page

router = APIRouter(tags=["pages"])

Text = Annotated[str, Form()]


@router.get("/accounts")
def show(request: Request, caller: Admin) -> Response:
    """Show the accounts and their tokens."""
    return _page(request, caller)


@router.post("/accounts")
def add(
    request: Request, caller: Admin, name: Text = "", role: Text = "reader", password: Text = ""
) -> Response:
    """Make an account; without a password it is one for tokens."""
    return _changed(request, caller, lambda accounts: accounts.add(name, role, password=password or None))


@router.post("/accounts/role")
def set_role(request: Request, caller: Admin, name: Text = "", role: Text = "") -> Response:
    """Give an account another role."""
    return _changed(request, caller, lambda accounts: accounts.set_role(name, role))


@router.post("/accounts/disable")
def disable(request: Request, caller: Admin, name: Text = "") -> Response:
    """Disable an account."""
    return _changed(request, caller, lambda accounts: accounts.disable(name))


@router.post("/accounts/enable")
def enable(request: Request, caller: Admin, name: Text = "") -> Response:
    """Let a disabled account in again."""
    return _changed(request, caller, lambda accounts: accounts.enable(name))


@router.post("/accounts/token")
def make_token(
    request: Request, caller: Admin, name: Text = "", label: Text = "", days: Annotated[int, Form()] = 90
) -> Response:
    """Make a token and show it, this once."""
    try:
        token, _ = AccessTokens(desk_of(request).engine, actor=caller.name).make(name, label=label, days=days)
    except CtsearchError as error:
        return _page(request, caller, problem=error)
    return _page(request, caller, token=token)


@router.post("/accounts/revoke")
def revoke(request: Request, caller: Admin, number: Annotated[int, Form(ge=1, lt=2**63)]) -> Response:
    """Delete a token."""
    tokens = AccessTokens(desk_of(request).engine, actor=caller.name)
    return _changed(request, caller, lambda _: tokens.revoke(number))


def _changed(request: Request, caller: Admin, change: Callable[[Accounts], object]) -> Response:
    """Change something and show the page anew; a refusal is said on it."""
    try:
        change(Accounts(desk_of(request).engine, actor=caller.name))
    except CtsearchError as error:
        return _page(request, caller, problem=error)
    return RedirectResponse("/accounts", status_code=303)


def _page(
    request: Request, caller: Admin, *, problem: CtsearchError | None = None, token: str | None = None
) -> Response:
    engine = desk_of(request).engine
    known = {
        "accounts": Accounts(engine, actor=caller.name).all(),
        "tokens": AccessTokens(engine, actor=caller.name).of(),
        "roles": ROLES,
        "problem": None if problem is None else str(problem),
        "token": token,
    }
    return page(request, "accounts.html", known, status=200 if problem is None else status_of(problem))
