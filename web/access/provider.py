"""The identity provider, by OpenID Connect: authorization code, PKCE (authlib is imported here alone)."""

from collections.abc import Mapping
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from web.access.oidc_settings import OidcSettings
from web.problems import ForbiddenError, WebError

SCOPES = "openid profile email"
_ANSWERS_WITHIN_S = 10.0
_SIGNED_BY_KEY_PAIRS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_ALGORITHMS = "id_token_signing_alg_values_supported"


class ProviderError(WebError):
    """The identity provider cannot be reached, or is not what it is said to be."""

    status = 503


class Provider:
    """Leads a browser to the provider, and reads what it comes back with."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._client = OAuth().register(
            "provider",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": SCOPES,
                "code_challenge_method": "S256",
                "timeout": _ANSWERS_WITHIN_S,
            },
        )

    async def leave_for(self, request: Request, back: str) -> Response:
        """Return the redirect to the provider; state, nonce and verifier stay in the browser's signed cookie.

        Args:
            request: of the browser, with `request.session`.
            back: the address where the provider sends it.

        Raises:
            ProviderError: it cannot be reached, or calls itself something else.
        """
        try:
            await self._check_metadata()
            answer: Response = await self._client.authorize_redirect(request, back)
        except _UNREACHABLE as error:
            raise ProviderError(_unreachable(self._settings.issuer, error)) from error
        return answer

    async def claims(self, request: Request) -> Mapping[str, Any]:
        """Return what the signed token says of the person that the provider sent back.

        Raises:
            ForbiddenError: the answer is not to a question of this browser, or the token is not good: its
                signature, issuer, audience, nonce or time.
            ProviderError: the provider cannot be reached.
        """
        expected = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": self._settings.client_id},
        }
        try:
            await self._check_metadata()
            token = await self._client.authorize_access_token(request, claims_options=expected)
            said: Mapping[str, Any] | None = token.get("userinfo")
        except _UNREACHABLE as error:
            raise ProviderError(_unreachable(self._settings.issuer, error)) from error
        except (AuthlibBaseError, JoseError, ValueError, KeyError) as error:
            raise ForbiddenError(
                f"the identity provider's answer is not good ({_said(error)}): sign in again"
            ) from error
        if not said or not isinstance(said.get("sub"), str) or not said["sub"]:
            raise ForbiddenError("the identity provider's answer has no signed token: sign in again")
        return said

    async def _check_metadata(self) -> None:
        """Take the provider's word on itself where it is the one that was asked; no shared-key signatures."""
        found = await self._client.load_server_metadata()
        if found.get("issuer") != self._settings.issuer:
            raise ProviderError(
                f"CTSEARCH_OIDC_ISSUER is {self._settings.issuer} and the provider there calls itself "
                f"{found.get('issuer')!r}: write it as the provider does"
            )
        offered = found.get(_ALGORITHMS) or ["RS256"]
        found[_ALGORITHMS] = [each for each in offered if each in _SIGNED_BY_KEY_PAIRS]


_UNREACHABLE = (httpx2.HTTPError, httpx2.InvalidURL, RuntimeError)


def _unreachable(issuer: str, error: Exception) -> str:
    return f"the identity provider {issuer} cannot be reached ({_said(error)}): try again later"


def _said(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
