"""`ctsearch accounts`: who may use the page and the API, and what each of them may."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(help="Who may use the page and the API.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the account.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
_Role = Annotated[
    str, typer.Option(metavar="ROLE", help="reader, indexer or admin; each may what the last may.")
]
_ACTOR = "cli"


@app.command("add")
def add(
    name: _Name,
    role: _Role = "reader",
    password_stdin: _Stdin = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="For tokens alone.")] = False,
) -> None:
    """Make an account."""
    with _archive() as engine:
        from web.access.accounts import Accounts, checked_name
        from web.access.caller import checked_role

        checked_name(name)
        checked_role(role)
        password = None if no_password else _password(from_stdin=password_stdin)
        made = Accounts(engine, actor=_ACTOR).add(name, role, password=password)
    typer.echo(f"{made.name} may sign in as {made.role}" if password else f"{made.name} is {made.role}")


@app.command("list")
def list_accounts(as_json: _Json = False) -> None:
    """Print the accounts."""
    from cli.account_tables import print_accounts

    with _archive() as engine:
        from web.access.accounts import Accounts

        accounts = Accounts(engine, actor=_ACTOR).all()
    if as_json:
        sys.stdout.write(json.dumps({"accounts": [each.to_json() for each in accounts]}) + "\n")
    else:
        print_accounts([each.to_json() for each in accounts])


@app.command("role")
def set_role(name: _Name, role: Annotated[str, typer.Argument(metavar="ROLE")]) -> None:
    """Give an account another role; it holds at once."""
    with _archive() as engine:
        from web.access.accounts import Accounts

        changed = Accounts(engine, actor=_ACTOR).set_role(name, role)
    typer.echo(f"{changed.name} is {changed.role}")


@app.command("password")
def set_password(name: _Name, password_stdin: _Stdin = False) -> None:
    """Give an account a new password; its sessions end."""
    with _archive() as engine:
        from web.access.accounts import Accounts

        accounts = Accounts(engine, actor=_ACTOR)
        accounts.named(name)
        accounts.set_password(name, _password(from_stdin=password_stdin))
    typer.echo("the password is changed, open sessions have ended")


@app.command("disable")
def disable(name: _Name) -> None:
    """End an account's sessions and refuse it and its tokens; its name stays in the audit."""
    with _archive() as engine:
        from web.access.accounts import Accounts

        changed = Accounts(engine, actor=_ACTOR).disable(name)
    typer.echo(f"{changed.name} is disabled, its sessions have ended")


@app.command("enable")
def enable(name: _Name) -> None:
    """Let a disabled account in again."""
    with _archive() as engine:
        from web.access.accounts import Accounts

        changed = Accounts(engine, actor=_ACTOR).enable(name)
    typer.echo(f"{changed.name} may sign in again as {changed.role}")


@app.command("token")
def make_token(
    name: _Name,
    label: Annotated[str, typer.Option(help="What it is for.")],
    days: Annotated[int, typer.Option(min=1, help="After which it expires.")] = 90,
) -> None:
    """Make a token for a program; it is printed this once, alone on stdout."""
    with _archive() as engine:
        from web.access.access_tokens import AccessTokens

        token, kept = AccessTokens(engine, actor=_ACTOR).make(name, label=label, days=days)
    sys.stdout.write(token + "\n")
    typer.echo(f"token {kept.id} of {kept.account}; send it as Authorization: Bearer", err=True)


@app.command("tokens")
def list_tokens(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of one account; else of all.")] = None,
    as_json: _Json = False,
) -> None:
    """Print which tokens there are, never the tokens."""
    from cli.account_tables import print_tokens

    with _archive() as engine:
        from web.access.access_tokens import AccessTokens

        tokens = [each.to_json() for each in AccessTokens(engine, actor=_ACTOR).of(name)]
    if as_json:
        sys.stdout.write(json.dumps({"tokens": tokens}) + "\n")
    else:
        print_tokens(tokens)


@app.command("revoke")
def revoke(number: Annotated[int, typer.Argument(metavar="N", help="As tokens prints it.")]) -> None:
    """Delete a token; it opens nothing from here on."""
    with _archive() as engine:
        from web.access.access_tokens import AccessTokens

        AccessTokens(engine, actor=_ACTOR).revoke(number)
    typer.echo(f"token {number} opens nothing any more")


@contextmanager
def _archive() -> Iterator["Engine"]:
    from cli.web_extra import check_web_extra

    check_web_extra()
    from retrieval.migrate import open_archive

    engine = open_archive()
    try:
        yield engine
    finally:
        engine.dispose()


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    entered: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return entered
