"""A small OpenID Connect provider on loopback: real HTTP, signed tokens, PKCE; what it does may be spoilt."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "ctsearch", "the client's secret of the tests, 32 bytes"


class OidcProvider:
    """Vouches for whoever comes, with these claims.

    Attributes:
        claims: of the person; they replace the right ones where they name the same.
        left_out: claims that the token lacks.
        key: signs; the published one is `published`.
        algorithm: of the signature.
        issuer: what it calls itself.
    """

    def __init__(self, address: str) -> None:
        self.address = self.issuer = address
        self.key = self.published = RSAKey.generate_key(2048, {"use": "sig", "kid": "one"})
        self.algorithm = "RS256"
        self.claims: dict[str, Any] = {"sub": "1", "preferred_username": "anna", "groups": ["ct-readers"]}
        self.left_out: tuple[str, ...] = ()
        self.with_id_token = True
        self._asked: dict[str, dict[str, str]] = {}

    def metadata(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def keys(self) -> dict[str, Any]:
        """Its public keys."""
        return {"keys": [self.published.as_dict(private=False)]}

    def sent_back(self, asked: dict[str, str]) -> str:
        """Where a browser goes from the authorization endpoint."""
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._asked[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The answer to a code, once; None: client, code or verifier are wrong."""
        asked = self._asked.pop(form.get("code", ""), None)
        basic = base64.b64encode(urlencode({CLIENT: SECRET}).replace("=", ":", 1).encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if asked is None or authorization not in (f"Basic {basic}", f"Basic {plain}"):
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        right = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        if not right or form.get("redirect_uri") != asked["redirect_uri"]:
            return None
        answer = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 60}
        return answer | ({"id_token": self._signed(asked["nonce"])} if self.with_id_token else {})

    def _signed(self, nonce: str) -> str:
        now = int(time.time())
        right = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": nonce}
        claims = {name: value for name, value in (right | self.claims).items() if name not in self.left_out}
        if self.algorithm == "none":
            return f"{_part({'alg': 'none'})}.{_part(claims)}."
        header = {"alg": self.algorithm, "kid": "one"}
        if self.algorithm == "HS256":  # the published key taken for a shared one, by who confuses algorithms
            signed = f"{_part(header)}.{_part(claims)}"
            mac = hmac.digest(self.published.as_pem(private=False), signed.encode(), "sha256")
            return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    """A provider that listens on loopback."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            path = urlsplit(self.path).path
            if path == "/authorize":
                self.send_response(302)
                self.send_header("Location", provider.sent_back(asked))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            known = {"/.well-known/openid-configuration": provider.metadata, "/jwks": provider.keys}
            self._send(known[path]())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            answer = provider.token(form, self.headers.get("Authorization", ""))
            self._send(answer or {"error": "invalid_grant"}, 200 if answer else 400)

        def _send(self, document: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    provider = OidcProvider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
