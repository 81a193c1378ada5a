"""Sessions and tokens of accounts, kept by their digests: whoever reads the database gets in nowhere."""

from typing import Any

from sqlalchemy import Engine, Row, text

from web.access.caller import Caller
from web.access.credentials import digest_of
from web.access.session_cookie import form_token, new_cookie_value
from web.settings import WebSettings

_SEEN_EVERY_S = 60  # a session's last sight is written down no oftener

_SESSION = """
SELECT a.id, a.name, a.role, s.seen_at < now() - make_interval(secs => :every) AS stale
FROM web_session s JOIN account a ON a.id = s.account_id
WHERE s.sha256 = :sha256 AND s.expires_at > now() AND s.seen_at > now() - make_interval(secs => :idle)
AND a.disabled_at IS NULL
"""
_BEARER = """
SELECT a.id, a.name, a.role,
       t.last_used_at IS NULL OR t.last_used_at < now() - make_interval(secs => :every) AS stale
FROM access_token t JOIN account a ON a.id = t.account_id
WHERE t.sha256 = :sha256 AND (t.expires_at IS NULL OR t.expires_at > now()) AND a.disabled_at IS NULL
"""


class AccountCredentials:
    """See `Credentials`; each request asks the database, so a disabled account is out at once."""

    def __init__(self, engine: Engine, settings: WebSettings) -> None:
        self._engine = engine
        self._settings = settings

    def open(self, account_id: int, *, instead_of: str | None = None) -> str:
        """Return the cookie of a new session; the one that the browser had before ends."""
        cookie = new_cookie_value()
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "DELETE FROM web_session WHERE expires_at < now() "
                    "OR seen_at < now() - make_interval(secs => :idle) OR sha256 = :before"
                ),
                {"idle": self._settings.session_idle_s, "before": digest_of(instead_of or "")},
            )
            connection.execute(
                text(
                    "INSERT INTO web_session (sha256, account_id, expires_at) "
                    "VALUES (:sha256, :account, now() + make_interval(secs => :life))"
                ),
                {"sha256": digest_of(cookie), "account": account_id, "life": self._settings.session_s},
            )
        return cookie

    def by_cookie(self, value: str) -> Caller | None:
        """See `Credentials`."""
        row = self._found(_SESSION, value, idle=self._settings.session_idle_s)
        if row is not None and row.stale:
            self._seen("UPDATE web_session SET seen_at = now() WHERE sha256 = :sha256", value)
        return None if row is None else _caller(row, csrf_token=form_token(value))

    def by_bearer(self, token: str) -> Caller | None:
        """See `Credentials`."""
        row = self._found(_BEARER, token)
        if row is not None and row.stale:
            self._seen("UPDATE access_token SET last_used_at = now() WHERE sha256 = :sha256", token)
        return None if row is None else _caller(row)

    def end(self, cookie: str) -> None:
        """See `Credentials`."""
        self._seen("DELETE FROM web_session WHERE sha256 = :sha256", cookie)

    def _found(self, query: str, secret: str, **values: float) -> Row[Any] | None:
        with self._engine.connect() as connection:
            return connection.execute(
                text(query), {"sha256": digest_of(secret), "every": _SEEN_EVERY_S, **values}
            ).one_or_none()

    def _seen(self, statement: str, secret: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement), {"sha256": digest_of(secret)})


def _caller(row: Row[Any], csrf_token: str = "") -> Caller:
    return Caller(name=row.name, role=row.role, account_id=row.id, csrf_token=csrf_token)
