"""The hospital's own sign-on: the code flow of OpenID Connect, with PKCE, state and nonce.

Source: OpenID Connect Core 1.0 (sections 3.1 and 10.1.1) and Discovery 1.0; RFC 7636 (PKCE), RFC 9207 (who answers).
"""

import base64
import hmac
import secrets
import ssl
import time
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from flask import current_app
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from core.clock import after, now
from core.errors import RecordsError
from webapp.config import OpenIdSettings
from webapp.errors import Denied, Refused
from webapp.signing_in import Person
from webapp.vault import Vault

# How long somebody may take to sign in over there.
FLOW_S = 600
_SKEW_S = 60
_TIMEOUT_S = 10
_METADATA_S = 3600
# Keys are fetched anew for a token that none of them fits, but not for every forged one.
_KEYS_S = 30
_PLACE = "openid.flow"
# Only those whose secret the provider alone has.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_AGAIN = "sign in again; if it stays, call whoever runs the hospital's sign-on"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Flow:
    """What must come back from the hospital's sign-on as it was sent, and the secret that only we know.

    Attributes:
        state, nonce: in the address that the browser is led to; they come back in its answer and in its token.
        verifier: what its answer is redeemed with.
        until: when it is too late.
    """

    state: str
    nonce: str
    verifier: str
    until: str

    def sealed(self, vault: Vault) -> str:
        """Return it as a cookie's text, which nobody else can read or make."""
        return base64.urlsafe_b64encode(vault.seal_json(asdict(self), _PLACE)).decode()

    @classmethod
    def opened(cls, vault: Vault, text: str) -> "Flow":
        """Return what a cookie's text holds.

        Raises: Denied: the cookie is missing, not ours or too old.
        """
        try:
            flow = cls(**vault.open_json(base64.urlsafe_b64decode(text.encode()), _PLACE))
        except (RecordsError, ValueError):
            raise _failed("flow") from None
        if flow.until <= now():
            raise _failed("flow")
        return flow


class Provider:
    """The hospital's sign-on, as it describes itself.

    Args:
        settings: of an issuer.
    """

    def __init__(self, settings: OpenIdSettings) -> None:
        self._settings = settings
        self._context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        self._lock = Lock()
        self._metadata: dict[str, Any] = {}
        self._metadata_at = self._keys_at = float("-inf")
        self._keys = KeySet([])

    def begin(self, callback: str) -> tuple[str, Flow]:
        """Return where to lead a browser, and what must come back.

        Raises: Refused: the sign-on cannot be reached.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        flow = Flow(state, nonce, verifier, after(FLOW_S))
        wanted = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": callback,
            "scope": self._settings.scope,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": create_s256_code_challenge(flow.verifier),
            "code_challenge_method": "S256",
        }
        where = self._described()["authorization_endpoint"]
        return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(wanted)}", flow

    def finish(self, flow: Flow, answer: dict[str, str], callback: str, vault: Vault) -> Person:
        """Return whom the sign-on vouches for.

        Args:
            flow: from the browser's cookie.
            answer: what the browser brings from there.
            callback: as at the beginning.
            vault: hashes who it is.
        Raises:
            Denied: it vouches for nobody, or not for us.
            Refused: it cannot be reached.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
            raise _failed("state")
        described = self._described()
        promises_issuer = described.get("authorization_response_iss_parameter_supported") is True
        if answer.get("iss", "" if promises_issuer else self._settings.issuer) != self._settings.issuer:
            raise _failed("issuer")
        if "code" not in answer:
            raise _failed("refused there")
        token = self._redeem(described, answer["code"], flow, callback)
        claims = self._checked(token, flow.nonce)
        subject = vault.mac("openid subject", f"{self._settings.issuer}\n{claims['sub']}")
        name = claims.get(self._settings.name_claim)
        return Person(subject, name.strip().lower() if isinstance(name, str) else "", self._role(claims))

    def _redeem(self, described: dict[str, Any], code: str, flow: Flow, callback: str) -> dict[str, Any]:
        """Exchange a code, which works once, for a token."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback,
            "code_verifier": flow.verifier,
            "client_id": self._settings.client_id,
        }
        account = None
        if self._settings.client_secret:
            methods = described.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            if "client_secret_basic" in methods:
                account = httpx.BasicAuth(self._settings.client_id, self._settings.client_secret)
            else:
                form["client_secret"] = self._settings.client_secret
        answer = self._ask("POST", described["token_endpoint"], data=form, auth=account)
        if answer.status_code in (400, 401, 403):
            raise _failed("code")
        return _json(answer)

    def _checked(self, token: dict[str, Any], nonce: str) -> CodeIDToken:
        """Return what a token says, if the sign-on signed it, now, for us, in answer to what we asked."""
        if not isinstance(token.get("id_token"), str):
            raise _failed("token")
        try:
            signed = self._decoded(token["id_token"])
            wanted = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
                "sub": {"essential": True},
            }
            known = {"nonce": nonce, "client_id": self._settings.client_id, "access_token": token.get("access_token")}
            claims = CodeIDToken(signed.claims, signed.header, wanted, known)
            claims.validate(leeway=_SKEW_S)
        except (JoseError, ValueError) as error:
            raise _failed(f"token: {getattr(error, 'claim', None) or type(error).__name__}") from None
        methods = claims.get("amr") or []
        if self._settings.methods and not set(self._settings.methods) & set(map(str, methods)):
            raise _failed("method")
        return claims

    def _decoded(self, text: str) -> jwt.Token:
        registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
        try:
            return jwt.decode(text, self._key_set(), registry=registry)
        except (BadSignatureError, InvalidKeyIdError):  # it may have changed its keys
            return jwt.decode(text, self._key_set(anew=True), registry=registry)

    def _key_set(self, *, anew: bool = False) -> KeySet:
        with self._lock:
            age = time.monotonic() - self._keys_at
            fresh = age < (_KEYS_S if anew else _METADATA_S)
            if fresh:
                return self._keys
        found = _json(self._ask("GET", self._described()["jwks_uri"]))
        try:
            keys = KeySet.import_key_set({"keys": found["keys"]})
        except (JoseError, ValueError, KeyError, TypeError):
            raise _unreachable("its keys cannot be read") from None
        with self._lock:
            self._keys, self._keys_at = keys, time.monotonic()
        return keys

    def _described(self) -> dict[str, Any]:
        """Return how the sign-on describes itself."""
        with self._lock:
            if time.monotonic() - self._metadata_at < _METADATA_S:
                return self._metadata
        issuer = self._settings.issuer
        found = _json(self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        if found.get("issuer") != issuer:
            raise _unreachable("it calls itself by another name than the settings do")
        scheme = urlsplit(issuer).scheme
        if any(urlsplit(str(found.get(name, ""))).scheme not in (scheme, "https") for name in _ENDPOINTS):
            raise _unreachable("its description lacks an address, or one without TLS")
        with self._lock:
            self._metadata, self._metadata_at = found, time.monotonic()
        return found

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:  # noqa: ANN401 (httpx's own)
        try:
            with httpx.Client(
                verify=self._context, timeout=_TIMEOUT_S, headers={"Accept": "application/json"}
            ) as client:
                answer = client.request(method, url, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(type(error).__name__) from None
        if answer.is_server_error or answer.is_redirect:
            raise _unreachable(f"it answers {answer.status_code}")
        return answer

    def _role(self, claims: CodeIDToken) -> str:
        said = claims.get(self._settings.groups_claim)
        listed = said if isinstance(said, list) else [said]
        groups = {one for one in listed if isinstance(one, str)}
        return next((role for group, role in self._settings.roles.items() if group in groups), "")


def provider() -> Provider:
    """Return the hospital's sign-on.

    Raises: Refused: there is none.
    """
    found: Provider | None = current_app.extensions.get("gliofed-provider")
    if found is None:
        raise Refused(404, "The hospital's own sign-on is not set up here", fix="sign in with name, password and code")
    return found


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not answer.is_success or not isinstance(found, dict):
        raise _unreachable(f"it answers {answer.status_code} and no JSON that is expected")
    return found


def _failed(why: str) -> Denied:
    """Return the refusal of a sign-in; what was wrong is told in the log alone."""
    return Denied(
        401,
        "The hospital's sign-on does not vouch for this sign-in",
        fix=_AGAIN,
        action="sign-in.failed",
        why=why[:100],
    )


def _unreachable(how: str) -> Refused:
    return Refused(
        503,
        f"The hospital's own sign-on cannot be used right now ({how})",
        fix="try again in a minute; if it stays, call whoever runs the hospital's sign-on",
        retry_after=30,
    )
