"""Passwords, kept as argon2id hashes (argon2 is imported here alone)."""

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from encoders.errors import ConfigError

SHORTEST, LONGEST = 12, 1024
"""Characters of a password; length is what is asked for, no signs or digits (NIST SP 800-63B, 5.1.1.2)."""

_hasher = PasswordHasher()  # RFC 9106's second choice: 64 MiB, 3 passes, 4 lanes
_at_once = threading.BoundedSemaphore(2)  # 64 MiB each: many sign-ins at once must not fill the memory


def hash_password(password: str) -> str:
    """Return what is kept of a new password.

    Raises:
        ConfigError: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(
            f"the password has {len(password)} characters: take {SHORTEST} to {LONGEST}, four words do well"
        )
    with _at_once:
        return _hasher.hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Whether a password is the one that was kept; None takes as long to deny as a wrong password."""
    if len(password) > LONGEST:
        return False
    try:
        with _at_once:
            _hasher.verify(kept or _nobodys(), password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than a new one would be."""
    return _hasher.check_needs_rehash(kept)


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody has this password, it is verified where there is none")
