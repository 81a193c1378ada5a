"""Who asks: every endpoint takes a Reader, an Indexer or an Admin, and so says what it demands."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from encoders.errors import ConfigError
from web.problems import ForbiddenError, SignInNeededError

Role = Literal["reader", "indexer", "admin"]
ROLES: tuple[Role, ...] = ("reader", "indexer", "admin")  # each may what those before it may


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A signed-in person or program."""

    name: str  # as the audit has it
    role: Role
    account_id: int | None = None  # None: whoever has the start-up token
    csrf_token: str = ""  # forms and HTMX send it back; empty for programs, which send no cookie

    def may(self, role: Role) -> bool:
        """Whether the caller has this role or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


def checked_role(role: str) -> Role:
    """Return the role.

    Raises:
        ConfigError: there is none of that name.
    """
    found = next((each for each in ROLES if each == role), None)
    if found is None:
        raise ConfigError(f"there is no role {role!r}: take one of {', '.join(ROLES)}")
    return found


def caller_of(request: Request) -> Caller:
    """Return who asks; the gate has looked at cookie or token before.

    Raises:
        SignInNeededError: nobody is signed in.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        raise SignInNeededError()
    return caller


Reader = Annotated[Caller, Depends(caller_of)]


def _indexer(caller: Reader) -> Caller:
    return _allowed(caller, "indexer")


def _admin(caller: Reader) -> Caller:
    return _allowed(caller, "admin")


def _allowed(caller: Caller, role: Role) -> Caller:
    if not caller.may(role):
        raise ForbiddenError(f"{caller.name} has the role {caller.role}, and this needs {role}: ask an admin")
    return caller


Indexer = Annotated[Caller, Depends(_indexer)]
Admin = Annotated[Caller, Depends(_admin)]
