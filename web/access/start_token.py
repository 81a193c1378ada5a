"""One person on their own machine: whoever has the token that `ctsearch serve` printed."""

import threading

from web.access.caller import Caller
from web.access.credentials import digest_of, same_secret
from web.access.session_cookie import form_token, new_cookie_value

NAME = "local"
"""Whom the audit names."""

_BROWSERS_AT_MOST = 100  # the oldest session ends for another: one person does not have more browsers


class StartTokenCredentials:
    """Sessions in memory; they end with the server, as its token does."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._open: dict[bytes, None] = {}

    def open(self, token: str) -> str | None:
        """Return the cookie of a new session, which is not the token; None: the token is another."""
        if not same_secret(token, self._token):
            return None
        cookie = new_cookie_value()
        with self._lock:
            self._open[digest_of(cookie)] = None
            while len(self._open) > _BROWSERS_AT_MOST:
                del self._open[next(iter(self._open))]
        return cookie

    def by_cookie(self, value: str) -> Caller | None:
        """See `Credentials`."""
        with self._lock:
            known = digest_of(value) in self._open
        return Caller(name=NAME, role="admin", csrf_token=form_token(value)) if known else None

    def by_bearer(self, token: str) -> Caller | None:
        """See `Credentials`."""
        return Caller(name=NAME, role="admin") if same_secret(token, self._token) else None

    def end(self, cookie: str) -> None:
        """See `Credentials`."""
        with self._lock:
            self._open.pop(digest_of(cookie), None)
