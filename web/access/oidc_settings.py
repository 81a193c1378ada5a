"""Which identity provider signs people in, if any, and which role each of them gets: from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from encoders.errors import ConfigError
from web.access.caller import ROLES, Role, checked_role
from web.access.loopback import is_loopback

_PREFIX = "CTSEARCH_OIDC_"


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """An OpenID Connect provider, as `CTSEARCH_OIDC_*` name it.

    Attributes:
        issuer: its address; what its tokens must say they are from.
        client_id, client_secret: under which this server is registered there.
        name_claim: what an account is named after.
        role_claim: a text or list of texts in the token, such as groups.
        roles: which role a text of that claim gives; of several the one that may most.
        default_role: of those whom no text gives one; None: they are refused.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    roles: Mapping[str, Role] = field(default_factory=dict, hash=False)
    default_role: Role | None = None

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the role that a token's claims give; None: this person may not in."""
        said = claims.get(self.role_claim, ())
        texts = (said,) if isinstance(said, str) else said if isinstance(said, list) else ()
        found = [self.roles[text] for text in texts if isinstance(text, str) and text in self.roles]
        return max(found, key=ROLES.index, default=self.default_role)


def oidc_settings(environment: Mapping[str, str]) -> OidcSettings | None:
    """Return the provider that the environment names; None: it names none.

    Raises:
        ConfigError: a part is missing, or the provider would be spoken to in the clear.
    """
    given = {name: environment.get(_PREFIX + name.upper(), "").strip() for name in _NAMES}
    if not given["issuer"]:
        return None
    missing = [_PREFIX + name.upper() for name in ("client_id", "client_secret") if not given[name]]
    if missing:
        raise ConfigError(f"{_PREFIX}ISSUER is set and {' and '.join(missing)} not: set them too")
    _check_issuer(given["issuer"])
    roles = _roles(given["roles"])
    default = checked_role(given["default_role"]) if given["default_role"] else None
    if not roles and default is None:
        raise ConfigError(
            f"nobody would get a role: set {_PREFIX}ROLES to pairs like ct-readers=reader,ct-admins=admin, "
            f"or {_PREFIX}DEFAULT_ROLE"
        )
    return OidcSettings(
        issuer=given["issuer"],
        client_id=given["client_id"],
        client_secret=given["client_secret"],
        name_claim=given["name_claim"] or "preferred_username",
        role_claim=given["role_claim"] or "groups",
        roles=roles,
        default_role=default,
    )


_NAMES = ("issuer", "client_id", "client_secret", "name_claim", "role_claim", "roles", "default_role")


def _check_issuer(issuer: str) -> None:
    parts = urlsplit(issuer)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return
    raise ConfigError(f"{_PREFIX}ISSUER is {issuer!r}: give an https address, passwords go there")


def _roles(pairs: str) -> dict[str, Role]:
    """Read "text=role,text=role"; a text may hold = itself."""
    found: dict[str, Role] = {}
    for pair in filter(None, (each.strip() for each in pairs.split(","))):
        text, equals, role = pair.rpartition("=")
        if not equals or not text:
            raise ConfigError(f"{_PREFIX}ROLES has {pair!r}: write pairs like ct-readers=reader")
        found[text.strip()] = checked_role(role.strip())
    return found
