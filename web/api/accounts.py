"""Accounts and their tokens."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from web.access.access_tokens import LONGEST_DAYS, AccessTokens
from web.access.accounts import Accounts
from web.access.caller import Admin, Reader, Role
from web.access.own_password import change_password
from web.access.passwords import LONGEST, SHORTEST
from web.desk import desk_of

router = APIRouter(tags=["accounts"])

Name = Annotated[str, Path(examples=["anna.weber"], description="Of an account.")]
Password = Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST, examples=["four words do well"])]
_EXAMPLE = {
    "name": "anna.weber",
    "role": "reader",
    "has_password": True,
    "issuer": None,
    "created_at": "2026-01-05T08:00:00+00:00",
    "disabled_at": None,
}


class NewAccount(BaseModel):
    """An account to be made; without a password it is one for tokens."""

    name: str = Field(max_length=64, examples=["anna.weber"])
    role: Role = "reader"
    password: Password | None = None


class AccountChange(BaseModel):
    """What changes of an account; what is left out stays."""

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None


class NewToken(BaseModel):
    """A token to be made."""

    label: str = Field(min_length=1, max_length=100, examples=["night import"])
    days: int = Field(default=90, ge=1, le=LONGEST_DAYS)


class OwnPassword(BaseModel):
    """A password in the place of another."""

    old: str = Field(max_length=LONGEST)
    new: Password


@router.get(
    "/me",
    responses={200: {"content": {"application/json": {"example": {"name": "anna.weber", "role": "reader"}}}}},
)
def me(caller: Reader) -> dict[str, str]:
    """Say who asks."""
    return {"name": caller.name, "role": caller.role}


@router.post("/me/password", status_code=204)
def change_own_password(request: Request, caller: Reader, change: OwnPassword) -> None:
    """Change one's own password; every session of the account ends, this one too."""
    change_password(request, caller, old=change.old, new=change.new)


@router.get(
    "/accounts", responses={200: {"content": {"application/json": {"example": {"accounts": [_EXAMPLE]}}}}}
)
def list_accounts(request: Request, caller: Admin) -> dict[str, list[dict[str, Any]]]:
    """List the accounts."""
    return {"accounts": [each.to_json() for each in _accounts(request, caller).all()]}


@router.post("/accounts", status_code=201)
def add_account(request: Request, caller: Admin, new: NewAccount) -> dict[str, Any]:
    """Make an account."""
    return _accounts(request, caller).add(new.name, new.role, password=new.password).to_json()


@router.patch("/accounts/{name}")
def change_account(request: Request, caller: Admin, name: Name, change: AccountChange) -> dict[str, Any]:
    """Give an account another role or password, disable it, or let it in again."""
    accounts = _accounts(request, caller)
    changed = accounts.named(name)
    if change.role is not None:
        changed = accounts.set_role(name, change.role)
    if change.password is not None:
        changed = accounts.set_password(name, change.password)
    if change.disabled is not None:
        changed = accounts.disable(name) if change.disabled else accounts.enable(name)
    return changed.to_json()


@router.get("/accounts/{name}/tokens")
def list_tokens(request: Request, caller: Admin, name: Name) -> dict[str, list[dict[str, Any]]]:
    """List the tokens of an account, without themselves."""
    return {"tokens": [each.to_json() for each in _tokens(request, caller).of(name)]}


@router.post("/accounts/{name}/tokens", status_code=201)
def make_token(request: Request, caller: Admin, name: Name, new: NewToken) -> dict[str, Any]:
    """Make a token; this answer is the only place where it is shown."""
    token, kept = _tokens(request, caller).make(name, label=new.label, days=new.days)
    return {"token": token, **kept.to_json()}


@router.delete("/tokens/{number}", status_code=204)
def revoke_token(request: Request, caller: Admin, number: Annotated[int, Path(ge=1, lt=2**63)]) -> None:
    """Delete a token; it opens nothing from here on."""
    _tokens(request, caller).revoke(number)


def _accounts(request: Request, caller: Admin) -> Accounts:
    return Accounts(desk_of(request).engine, actor=caller.name)


def _tokens(request: Request, caller: Admin) -> AccessTokens:
    return AccessTokens(desk_of(request).engine, actor=caller.name)
