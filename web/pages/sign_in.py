"""Signing in and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from web.access.account_sessions import AccountCredentials
from web.access.accounts import AccountInfo, Accounts, plain_name
from web.access.caller import Caller, Reader
from web.access.gate import address_of
from web.access.rates import Rates
from web.access.session_cookie import delete_cookie, sent_cookie, set_cookie
from web.access.sign_in_form import local_path, sign_in_page
from web.access.start_token import StartTokenCredentials
from web.audit import record
from web.desk import desk_of
from web.problems import TooManyError

router = APIRouter(tags=["pages"])

_WRONG = "This name and password open nothing: look at both, or ask an admin whether the account is disabled."
_WRONG_TOKEN = "This is not the token: ctsearch serve prints it when it starts."  # noqa: S105 - says what is wrong


@router.get("/sign-in")
def show(request: Request, next: str = "/") -> Response:  # noqa: A002 - as addresses have it
    """Show the form."""
    return sign_in_page(request, desk_of(request).settings, going_to=next)


@router.post("/sign-in")
def sign_in(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    token: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Open a session, or show the form again."""
    desk = desk_of(request)
    credentials = request.app.state.credentials
    if isinstance(credentials, StartTokenCredentials):
        cookie, wrong = credentials.open(token), _WRONG_TOKEN
    else:
        try:
            cookie, wrong = _opened(request, name, password), _WRONG
        except TooManyError as error:
            answer = sign_in_page(request, desk.settings, going_to=next, sentence=str(error), status=429)
            answer.headers["Retry-After"] = str(error.retry_after_s)
            return answer
    if cookie is None:
        return sign_in_page(request, desk.settings, going_to=next, sentence=wrong, status=401)
    answer = RedirectResponse(local_path(next), status_code=303)
    set_cookie(request, answer, desk.settings, cookie)
    return answer


@router.post("/sign-out")
def sign_out(request: Request, caller: Reader) -> Response:
    """End the session that asks."""
    desk = desk_of(request)
    cookie = sent_cookie(request, desk.settings)
    if cookie is not None:
        request.app.state.credentials.end(cookie)
    record(desk, caller, "sign out", f"account {caller.name}", address=address_of(request))
    answer = RedirectResponse("/sign-in", status_code=303)
    delete_cookie(request, answer, desk.settings)
    return answer


def open_session(request: Request, account: AccountInfo, *, by: str) -> str:
    """Return the cookie of a session of an account that was signed in, audited.

    Args:
        request: of the browser; the session that it had ends.
        account: whose.
        by: what vouched for it: password, or the issuer.
    """
    desk = desk_of(request)
    credentials: AccountCredentials = request.app.state.credentials
    cookie = credentials.open(account.id, instead_of=sent_cookie(request, desk.settings))
    caller = Caller(name=account.name, role=account.role, account_id=account.id)
    record(desk, caller, "sign in", f"account {account.name}", address=address_of(request), by=by)
    return cookie


def _opened(request: Request, name: str, password: str) -> str | None:
    """Return the cookie of a new session; None: name or password are wrong.

    Raises:
        TooManyError: too often for this name or from this address.
    """
    rates: Rates = request.app.state.rates
    desk, plain = desk_of(request), plain_name(name)
    rates.count_sign_in(plain, address_of(request))
    accounts = Accounts(desk.engine, actor=plain)
    account = accounts.by_password(name, password)
    if account is None:
        _audit_failure(request, accounts, plain)
        return None
    rates.forget_sign_ins(plain)
    return open_session(request, account, by="password")


def _audit_failure(request: Request, accounts: Accounts, name: str) -> None:
    """Name the account where there is one; what else was typed may be a password in the wrong field."""
    known = any(each.name == name for each in accounts.all())
    actor = Caller(name=name if known else "unknown", role="reader")
    record(desk_of(request), actor, "failed sign-in", f"account {actor.name}", address=address_of(request))
