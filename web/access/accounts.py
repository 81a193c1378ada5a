"""Accounts: made, listed, given roles and passwords, disabled; every change is in the audit."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection

from encoders.errors import ConfigError
from retrieval.store_removal import audit
from web.access.caller import Role, checked_role
from web.access.passwords import hash_password, is_outdated, is_password
from web.problems import ConflictError, NotFoundError

_NAME = re.compile(r"\w[\w.@+-]{0,63}")
_TAKEN = frozenset({"cli", "local", "unknown", "web", "me"})  # the audit uses them for what is no account
_COLUMNS = (
    "id, name, role, password_hash IS NOT NULL AS has_password, oidc_issuer AS issuer, "
    "created_at, disabled_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    """An account, without its secrets."""

    id: int
    name: str
    role: Role
    has_password: bool
    issuer: str | None  # who signs it in instead of a password
    created_at: datetime
    disabled_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "name": self.name,
            "role": self.role,
            "has_password": self.has_password,
            "issuer": self.issuer,
            "created_at": self.created_at.isoformat(),
            "disabled_at": None if self.disabled_at is None else self.disabled_at.isoformat(),
        }


class Accounts:
    """The accounts of an archive. `actor` is whom the audit names for changes."""

    def __init__(self, engine: Engine, *, actor: str) -> None:
        self._engine = engine
        self._actor = actor

    def all(self) -> list[AccountInfo]:
        """Return every account by name, disabled ones too."""
        with self._engine.connect() as connection:
            rows = connection.execute(text(f"SELECT {_COLUMNS} FROM account ORDER BY name")).mappings()  # noqa: S608 - no values
            return [AccountInfo(**row) for row in rows]

    def named(self, name: str) -> AccountInfo:
        """Return an account.

        Raises:
            NotFoundError: there is none.
        """
        with self._engine.connect() as connection:
            return account_named(connection, name)

    def has_admin(self) -> bool:
        """Whether there is an admin who may sign in."""
        with self._engine.connect() as connection:
            return _admins(connection) > 0

    def add(self, name: str, role: str, *, password: str | None = None) -> AccountInfo:
        """Make an account; without a password it is one for tokens, or for an identity provider's.

        Raises:
            ConfigError: the name, role or password will not do.
            ConflictError: the name is taken.
        """
        name, role = checked_name(name), checked_role(role)
        kept = None if password is None else hash_password(password)
        with self._changed("add account", name, role=role) as connection:
            made = connection.execute(
                text(
                    "INSERT INTO account (name, role, password_hash) VALUES (:name, :role, :kept) "
                    "ON CONFLICT (name) DO NOTHING RETURNING id"
                ),
                {"name": name, "role": role, "kept": kept},
            ).scalar()
            if made is None:
                raise ConflictError(f"there is an account {name} already: take another name")
            return account_named(connection, name)

    def set_role(self, name: str, role: str) -> AccountInfo:
        """Give an account another role; it holds from its next request on.

        Raises:
            ConfigError: there is no such role.
            NotFoundError: there is no such account.
            ConflictError: no admin would be left.
        """
        role = checked_role(role)
        return self._update(name, "change role", "role = :role", role=role)

    def set_password(self, name: str, password: str) -> AccountInfo:
        """Give an account a password; its sessions end.

        Raises:
            ConfigError: the password will not do.
            NotFoundError: there is no such account.
        """
        kept = hash_password(password)
        return self._update(name, "change password", "password_hash = :kept", ends_sessions=True, kept=kept)

    def disable(self, name: str) -> AccountInfo:
        """Let an account do nothing any more: its sessions end, its tokens are refused.

        Raises:
            NotFoundError: there is no such account.
            ConflictError: no admin would be left.
        """
        return self._update(
            name, "disable account", "disabled_at = coalesce(disabled_at, now())", ends_sessions=True
        )

    def enable(self, name: str) -> AccountInfo:
        """Take the disabling back; tokens that have not expired work again.

        Raises:
            NotFoundError: there is no such account.
        """
        return self._update(name, "enable account", "disabled_at = NULL")

    def by_password(self, name: str, password: str) -> AccountInfo | None:
        """Return the account that a name and password open; None takes as long, whatever was wrong."""
        with self._engine.connect() as connection:
            row = connection.execute(
                text("SELECT id, password_hash, disabled_at FROM account WHERE name = :name"),
                {"name": plain_name(name)},
            ).one_or_none()
        kept = None if row is None else row.password_hash
        right = is_password(password, kept)
        if not right or row is None or row.disabled_at is not None:
            return None
        if is_outdated(row.password_hash):
            self._keep_anew(row.id, password)
        return self.named(name)

    def _keep_anew(self, account_id: int, password: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                text("UPDATE account SET password_hash = :kept WHERE id = :id"),
                {"kept": hash_password(password), "id": account_id},
            )

    def _update(
        self, name: str, action: str, change: str, *, ends_sessions: bool = False, **values: str
    ) -> AccountInfo:
        told = {key: value for key, value in values.items() if key != "kept"}
        with self._changed(action, plain_name(name), **told) as connection:
            connection.execute(text("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE"))  # admins are counted
            before = account_named(connection, name)
            connection.execute(
                text(f"UPDATE account SET {change} WHERE id = :id"),  # noqa: S608 - our own words
                {"id": before.id, **values},
            )
            if ends_sessions:
                connection.execute(text("DELETE FROM web_session WHERE account_id = :id"), {"id": before.id})
            if before.role == "admin" and before.disabled_at is None and not _admins(connection):
                raise ConflictError(f"{before.name} is the only admin: make another one first")
            return account_named(connection, name)

    @contextmanager
    def _changed(self, action: str, name: str, **detail: str) -> Iterator[Connection]:
        """A transaction that ends with its row in the audit."""
        with self._engine.begin() as connection:
            yield connection
            audit(connection, self._actor, action, f"account {name}", detail)


def account_named(connection: Connection, name: str) -> AccountInfo:
    """Return an account.

    Raises:
        NotFoundError: there is none.
    """
    row = (
        connection.execute(
            text(f"SELECT {_COLUMNS} FROM account WHERE name = :name"),  # noqa: S608 - no values
            {"name": plain_name(name)},
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFoundError(f"there is no account {name!r}: ctsearch accounts list shows them")
    return AccountInfo(**row)


def plain_name(name: str) -> str:
    """Return the name as it is kept: one spelling, whatever the case it is typed in."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def checked_name(name: str) -> str:
    """Return the name as it is kept.

    Raises:
        ConfigError: it cannot name an account.
    """
    plain = plain_name(name)
    if not _NAME.fullmatch(plain) or plain in _TAKEN:
        raise ConfigError(
            f"{name!r} cannot name an account: take up to 64 letters, digits and . _ - + @, a letter or "
            f"digit first, and none of {', '.join(sorted(_TAKEN))}"
        )
    return plain


def _admins(connection: Connection) -> int:
    return int(
        connection.execute(
            text("SELECT count(*) FROM account WHERE role = 'admin' AND disabled_at IS NULL")
        ).scalar_one()
    )
