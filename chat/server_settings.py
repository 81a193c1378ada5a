"""Which OpenAI-compatible server is asked, from settings; none is asked unless somebody named one."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from encoders.errors import ConfigError

ADDRESS, MODEL, KEY = "CTSEARCH_OPENAI_URL", "CTSEARCH_OPENAI_MODEL", "CTSEARCH_OPENAI_KEY"
TIMEOUT = "CTSEARCH_OPENAI_TIMEOUT"

_ADDRESS = re.compile(r"https?://(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d+)?(?:/[\w./~%-]*)?", re.ASCII)
"""So plain that no two readers of addresses take it for different hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the server is and how long it is waited for.

    Raises:
        ConfigError: the address is none, no model is named, or a limit is not positive.
    """

    address: str  # with its version, as http://127.0.0.1:8000/v1
    model: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0  # without a byte from it
    patience_s: float = 600.0  # for one whole answer
    retries: int = 2  # of a request that was not answered at all

    def __post_init__(self) -> None:
        self._check_address()
        if not self.model:
            raise ConfigError(f"no model is named for the chat server: set {MODEL} to one that it serves")
        if not (0 < self.timeout_s < float("inf") and self.patience_s > 0 and self.retries >= 0):
            raise ConfigError(
                f"a chat server cannot be waited for {self.timeout_s:g} s, {self.patience_s:g} s in all and "
                f"{self.retries} retries: give positive times, as {TIMEOUT}=60"
            )

    def _check_address(self) -> None:
        if "@" in self.address:
            raise ConfigError(f"{ADDRESS} holds a user or a password: put the key into {KEY}")
        try:
            usable = _ADDRESS.fullmatch(self.address) and urlsplit(self.address).port != 0
        except ValueError:  # a port that is none
            usable = False
        if not usable:
            raise ConfigError(
                f"{ADDRESS} is no address of a chat server: write it as http://127.0.0.1:8000/v1"
            )
        if self.key is not None and not re.fullmatch(r"[!-~]+", self.key):
            raise ConfigError(f"{KEY} holds blanks or signs that no key has: set it to the key alone")

    @property
    def leaves_machine(self) -> bool:
        """Whether what is sent goes to another computer: anything but a loopback address does."""
        host = urlsplit(self.address).hostname or ""
        if host == "localhost":
            return False
        try:
            return not ip_address(host).is_loopback
        except ValueError:
            return True

    @property
    def sends_to(self) -> str | None:
        """The address on another computer that texts are sent to, if they are."""
        return self.address if self.leaves_machine else None


def server_settings(environment: Mapping[str, str] | None = None) -> ServerSettings:
    """Read the settings of the chat server.

    Args:
        environment: where they stand; that of this process if None.

    Raises:
        ConfigError: no server is named, or a setting cannot be used.
    """
    found = os.environ if environment is None else environment
    if not found.get(ADDRESS):
        raise ConfigError(
            f"no chat server is set: set {ADDRESS} to an OpenAI-compatible server, as "
            f"http://127.0.0.1:8000/v1, and {MODEL} to a model that it serves"
        )
    return ServerSettings(
        address=found[ADDRESS].rstrip("/"),
        model=found.get(MODEL, ""),
        key=(found.get(KEY) or "").strip() or None,
        timeout_s=_seconds(found.get(TIMEOUT) or "60"),
    )


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f'{TIMEOUT} is "{text}", which is no number of seconds: write it as 60') from None
