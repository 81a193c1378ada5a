"""Whether an address is this machine's alone."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name is, if it is localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
