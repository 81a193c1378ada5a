"""Accounts and tokens as tables that fit 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from cli.evaluation_tables import console_of, table_of
from cli.tables import printable

Document = Mapping[str, Any]


def print_accounts(accounts: Sequence[Document]) -> None:
    """Print one row an account."""
    table = table_of("Account", "Role", "Signs in by", "Since", "Disabled")
    for each in accounts:
        by = each["issuer"] or ("password" if each["has_password"] else "tokens alone")
        table.add_row(
            _text(each["name"]), each["role"], _text(by), _day(each["created_at"]), _day(each["disabled_at"])
        )
    console_of().print(table if accounts else Text("No account: ctsearch accounts add NAME --role admin"))


def print_tokens(tokens: Sequence[Document]) -> None:
    """Print one row a token."""
    table = table_of("Token", "Account", "For", "Expires", "Last used")
    for each in tokens:
        table.add_row(
            str(each["id"]),
            _text(each["account"]),
            _text(each["label"]),
            _day(each["expires_at"]),
            _day(each["last_used_at"]),
        )
    console_of().print(table if tokens else Text("No token."))


def _text(said: str) -> Text:
    return Text(printable(said))


def _day(moment: str | None) -> str:
    return "" if moment is None else moment[:10]
