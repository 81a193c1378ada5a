"""How often somebody may ask (limits is imported here alone); counted in this process's memory."""

import math
import time
from ipaddress import ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from web.access.caller import Caller
from web.problems import TooManyError

_SIGN_INS_OF_NAME = RateLimitItemPerMinute(10, 5)
_SIGN_INS_OF_ADDRESS = RateLimitItemPerMinute(100, 5)  # a whole department may sit behind one
_REQUESTS_OF_STRANGERS = RateLimitItemPerMinute(600)


class Rates:
    """Counts sign-ins by name and by address, requests by caller; strangers by address."""

    def __init__(self, requests_per_minute: int) -> None:
        self._requests = RateLimitItemPerMinute(requests_per_minute)
        self._counted = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count_request(self, caller: Caller | None, address: str) -> None:
        """Count a request. Whoever has the start-up token is alone on the machine and not counted.

        Raises:
            TooManyError: there were too many in the last minute.
        """
        if caller is None:
            self._count(
                _REQUESTS_OF_STRANGERS, "stranger", _network(address), what="requests without a session"
            )
        elif caller.account_id is not None:
            self._count(self._requests, "caller", str(caller.account_id), what=f"requests of {caller.name}")

    def count_sign_in(self, name: str, address: str) -> None:
        """Count an attempt before it is looked at.

        Raises:
            TooManyError: there were too many for this name, or from this address.
        """
        self.count_address(address)
        self._count(_SIGN_INS_OF_NAME, "name", _short(name), what="sign-ins with this name")

    def count_address(self, address: str) -> None:
        """Count an attempt whose name is not known yet.

        Raises:
            TooManyError: there were too many from this address.
        """
        self._count(_SIGN_INS_OF_ADDRESS, "address", _network(address), what="sign-ins from this address")

    def forget_sign_ins(self, name: str) -> None:
        """Forget the attempts of a name: it has signed in."""
        self._counted.clear(_SIGN_INS_OF_NAME, "name", _short(name))

    def _count(self, limit: RateLimitItem, *of: str, what: str) -> None:
        if self._counted.hit(limit, *of):
            return
        free_at = self._counted.get_window_stats(limit, *of).reset_time
        wait_s = max(1, math.ceil(free_at - time.time()))
        raise TooManyError(f"too many {what}: try again in {wait_s} s", retry_after_s=wait_s)


def _short(name: str) -> str:
    """What is counted stays in memory for a while, and names that nobody has may be long."""
    return name[:64]


def _network(address: str) -> str:
    """Return what one party has: of IPv6 that is a /64, whose addresses it may change at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ip_network((parsed.packed[:8] + bytes(8), 64)))
