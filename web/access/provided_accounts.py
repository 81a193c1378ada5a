"""Accounts of people whom an identity provider signs in, by issuer and subject; made at the first time."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection

from encoders.errors import ConfigError
from retrieval.store_removal import audit
from web.access.accounts import AccountInfo, account_named, checked_name
from web.access.caller import Role
from web.access.oidc_settings import OidcSettings
from web.problems import ConflictError, ForbiddenError


def provided_account(engine: Engine, settings: OidcSettings, claims: Mapping[str, Any]) -> AccountInfo:
    """Return the account of whom a checked token speaks.

    Where the provider's groups give roles, its word holds at every sign-in; a default role is only where an
    account begins.

    Raises:
        ForbiddenError: the claims give no role, or the account is disabled.
        ConflictError: the name is that of an account which this person did not make.
        ConfigError: the name cannot name an account.
    """
    role = settings.role_of(claims)
    if role is None:
        raise ForbiddenError(
            f"your account at the identity provider has no role here: ask an admin which "
            f"{settings.role_claim} gives one"
        )
    with engine.begin() as connection:
        row = connection.execute(
            text(
                "SELECT name, role, disabled_at FROM account WHERE oidc_issuer = :issuer "
                "AND oidc_subject = :subject FOR UPDATE"
            ),
            {"issuer": settings.issuer, "subject": claims["sub"]},
        ).one_or_none()
        if row is None:
            return _made(connection, settings, claims, role)
        if row.disabled_at is not None:
            raise ForbiddenError(f"the account {row.name} is disabled: ask an admin")
        if settings.roles and row.role != role:
            connection.execute(
                text("UPDATE account SET role = :role WHERE name = :name"), {"role": role, "name": row.name}
            )
            audit(connection, row.name, "change role", f"account {row.name}", _by(settings, role))
        return account_named(connection, row.name)


def _made(
    connection: Connection, settings: OidcSettings, claims: Mapping[str, Any], role: Role
) -> AccountInfo:
    name = _name(settings, claims)
    made = connection.execute(
        text(
            "INSERT INTO account (name, role, oidc_issuer, oidc_subject) "
            "VALUES (:name, :role, :issuer, :subject) ON CONFLICT DO NOTHING RETURNING id"
        ),
        {"name": name, "role": role, "issuer": settings.issuer, "subject": claims["sub"]},
    ).scalar()
    if made is None:
        raise ConflictError(
            f"there is an account {name} already that the identity provider does not sign in: ask an admin"
        )
    audit(connection, name, "add account", f"account {name}", _by(settings, role))
    return account_named(connection, name)


def _name(settings: OidcSettings, claims: Mapping[str, Any]) -> str:
    said = claims.get(settings.name_claim)
    if not isinstance(said, str):
        raise ConfigError(
            f"the identity provider's token has no text {settings.name_claim!r} to name an account after: "
            "set CTSEARCH_OIDC_NAME_CLAIM to a claim that it has"
        )
    return checked_name(said)


def _by(settings: OidcSettings, role: Role) -> dict[str, str]:
    return {"role": role, "by": settings.issuer}
