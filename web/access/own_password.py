"""One's own password: whoever knows the old one puts another in its place."""

from starlette.requests import Request

from web.access.accounts import Accounts
from web.access.caller import Caller
from web.access.rates import Rates
from web.desk import desk_of
from web.problems import ForbiddenError


def change_password(request: Request, caller: Caller, *, old: str, new: str) -> None:
    """Change the caller's password; every session of the account ends, the one that asks too.

    Raises:
        ForbiddenError: the old password is another one, or there is none.
        TooManyError: it was tried too often.
        ConfigError: the new password will not do.
    """
    accounts = Accounts(desk_of(request).engine, actor=caller.name)
    if caller.account_id is None:
        raise ForbiddenError("whoever has the start-up token has no password to change")
    rates: Rates = request.app.state.rates
    rates.count_sign_in(caller.name, "own password")
    if accounts.by_password(caller.name, old) is None:
        raise ForbiddenError("the old password is another one: nothing was changed")
    rates.forget_sign_ins(caller.name)
    accounts.set_password(caller.name, new)
