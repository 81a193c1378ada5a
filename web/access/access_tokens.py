"""Tokens for programs: shown once, kept as their SHA-256, each with a label and an end."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from encoders.errors import ConfigError
from retrieval.store_removal import audit
from web.access.accounts import account_named
from web.access.credentials import digest_of
from web.problems import NotFoundError

_PREFIX = "ctsearch_"  # so that whoever finds one in a file knows what it opens
LONGEST_DAYS = 3650
_LABEL = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token, without itself."""

    id: int
    account: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        moments = {"expires_at": self.expires_at, "last_used_at": self.last_used_at}
        return {
            "id": self.id,
            "account": self.account,
            "label": self.label,
            "created_at": self.created_at.isoformat(),
            **{name: None if at is None else at.isoformat() for name, at in moments.items()},
        }


class AccessTokens:
    """The tokens of an archive's accounts. `actor` is whom the audit names for changes."""

    def __init__(self, engine: Engine, *, actor: str) -> None:
        self._engine = engine
        self._actor = actor

    def make(self, account: str, *, label: str, days: int) -> tuple[str, TokenInfo]:
        """Return a new token, which is nowhere else, and what is kept of it.

        Raises:
            ConfigError: the label or the number of days will not do.
            NotFoundError: there is no such account.
        """
        if not 1 <= days <= LONGEST_DAYS:
            raise ConfigError(f"a token cannot last {days} days: take 1 to {LONGEST_DAYS}")
        if not _LABEL.fullmatch(label):
            raise ConfigError("a token needs a label of 1 to 100 characters that says what it is for")
        token = _PREFIX + secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            owner = account_named(connection, account)
            made = connection.execute(
                text(
                    "INSERT INTO access_token (account_id, label, sha256, expires_at) "
                    "VALUES (:account, :label, :sha256, now() + make_interval(days => :days)) RETURNING id"
                ),
                {"account": owner.id, "label": label, "sha256": digest_of(token), "days": days},
            ).scalar_one()
            audit(
                connection, self._actor, "make token", f"account {owner.name}", {"label": label, "id": made}
            )
        return token, next(each for each in self.of(owner.name) if each.id == made)

    def of(self, account: str | None = None) -> list[TokenInfo]:
        """Return the tokens of an account, or of all; expired ones too.

        Raises:
            NotFoundError: there is no such account.
        """
        with self._engine.connect() as connection:
            owner = None if account is None else account_named(connection, account).id
            rows = connection.execute(
                text(
                    "SELECT t.id, a.name AS account, t.label, t.created_at, t.expires_at, t.last_used_at "
                    "FROM access_token t JOIN account a ON a.id = t.account_id "
                    "WHERE CAST(:owner AS bigint) IS NULL OR a.id = :owner ORDER BY a.name, t.id"
                ),
                {"owner": owner},
            ).mappings()
            return [TokenInfo(**row) for row in rows]

    def revoke(self, token_id: int) -> None:
        """Delete a token by its number; it opens nothing from here on.

        Raises:
            NotFoundError: there is none of that number.
        """
        with self._engine.begin() as connection:
            row = connection.execute(
                text(
                    "DELETE FROM access_token t USING account a WHERE t.id = :id AND a.id = t.account_id "
                    "RETURNING a.name, t.label"
                ),
                {"id": token_id},
            ).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no token {token_id}: ctsearch accounts tokens shows them")
            detail = {"label": row.label, "id": token_id}
            audit(connection, self._actor, "revoke token", f"account {row.name}", detail)
