"""What a request may show of who sends it: a cookie or a bearer token, told apart by who keeps them."""

import hashlib
from typing import Protocol

from web.access.caller import Caller


class Credentials(Protocol):
    """Keeps sessions and tokens; two of them: the start-up token's, and those of accounts."""

    def by_cookie(self, value: str) -> Caller | None:
        """Return whose session a cookie is; None: it is forged, ended or expired."""

    def by_bearer(self, token: str) -> Caller | None:
        """Return whose token this is; None: nobody's, or it has expired."""

    def end(self, cookie: str) -> None:
        """End a session: the cookie is worth nothing from here on."""


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 that is kept in a secret's place; 256 random bits need no slower one."""
    return hashlib.sha256(secret.encode()).digest()


def same_secret(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing of where they differ."""
    return digest_of(given) == digest_of(expected)
