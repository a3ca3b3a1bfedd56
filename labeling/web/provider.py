"""OpenID Connect: people sign in at an identity provider, by the authorization code flow with PKCE, state and nonce.

The provider is the one that the environment names, and its announced addresses are the only ones that the server ever
fetches. A person is known by issuer and subject, never by an e-mail address, which others may have one day.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from labeling.errors import AskwiseError, Invalid, NotAllowed
from labeling.web.peers import is_loopback

ALGORITHMS = ["RS256", "ES256", "PS256"]  # signed by the provider's key: never by none, or a shared secret
LEEWAY = 60  # seconds by which two clocks may differ
KNOWN_SECONDS = 3_600.0  # that what a provider announces is kept
AWAY_SECONDS = 30.0  # that a provider which could not be asked is not asked again
PATIENCE = 10.0  # seconds for an answer
PAGE_PATIENCE = 3.0  # and for what a page shows beside the password
LARGEST = 1_000_000  # bytes of an answer
AGAIN = "Signing in there was not finished; try again."
EXTRA = "pip install 'askwise[oidc]'"


class Unreachable(AskwiseError):
    """The identity provider cannot be used at this moment."""


@dataclass(frozen=True)
class Pending:
    """What a browser remembers while it is at the provider; its cookie holds it."""

    state: str
    nonce: str
    verifier: str
    next: str
    invitation: str

    @classmethod
    def new(cls, wanted: str, invitation: str) -> "Pending":
        """The beginning of signing in."""
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        return cls(state, nonce, verifier, wanted, invitation)

    def sealed(self) -> str:
        """As a cookie says it."""
        return base64.urlsafe_b64encode(json.dumps(self.__dict__).encode()).decode()

    @classmethod
    def opened(cls, cookie: str) -> "Pending | None":
        """What a cookie says; None where that makes no sense."""
        try:
            said = json.loads(base64.urlsafe_b64decode(cookie.encode()))
            pending = cls(**said)
        except (ValueError, TypeError, binascii.Error):
            return None
        return pending if all(isinstance(v, str) for v in said.values()) and pending.state else None


@dataclass(frozen=True)
class Told:
    """Who somebody is, as the provider says."""

    subject: str  # with the issuer before it
    name: str
    admitted: bool  # by the domain of an e-mail address that the provider has verified


class Provider:
    """An identity provider.

    Parameters
    ----------
    issuer
        Its address, exactly as it calls itself.
    client_id, client_secret
        What it knows this server by.
    admits
        Domains of e-mail addresses whose people need no invitation, in small letters.
    """

    def __init__(self, issuer: str, client_id: str, client_secret: str, admits: Iterable[str] = ()) -> None:
        self.issuer = issuer
        self._client_id, self._client_secret, self._admits = client_id, client_secret, frozenset(admits)
        self._known: dict[str, Any] = {}
        self._away, self._away_since = "", -AWAY_SECONDS  # why the last asking failed, if it did
        self._asking: asyncio.Task[None] | None = None

    @classmethod
    def of_environment(cls) -> "Provider | None":
        """The one that the environment names.

        Raises
        ------
        Invalid
            If a part is missing, the issuer is not at https, or what it needs is not installed.
        """
        issuer, client_id, secret = (
            os.environ.get(name, "").strip()
            for name in ("ASKWISE_OIDC_ISSUER", "ASKWISE_OIDC_CLIENT_ID", "ASKWISE_OIDC_CLIENT_SECRET")
        )
        admits = os.environ.get("ASKWISE_OIDC_ADMIT", "").replace(",", " ").lower().split()
        if not (issuer or client_id or secret):
            return None
        if not (issuer and client_id and secret):
            raise Invalid(
                "Set all three to sign in through OpenID Connect: ASKWISE_OIDC_ISSUER, ASKWISE_OIDC_CLIENT_ID and "
                "ASKWISE_OIDC_CLIENT_SECRET."
            )
        if not _is_safe(issuer):
            raise Invalid(f"ASKWISE_OIDC_ISSUER is “{issuer}”; give the address that begins with https://.")
        try:
            import httpx  # noqa: F401
            import joserfc  # noqa: F401
        except ImportError:
            raise Invalid(f"Signing in through OpenID Connect is not installed; run `{EXTRA}`.") from None
        return cls(issuer, client_id, secret, admits)

    @property
    def name(self) -> str:
        """What its button calls it."""
        return urlsplit(self.issuer).hostname or self.issuer

    async def site(self) -> str:
        """Where its sign-in page is: scheme and host.

        Raises
        ------
        Unreachable
            If the provider cannot be asked, or is slow: whoever has a password is not to wait for it.
        """
        try:
            async with asyncio.timeout(PAGE_PATIENCE):
                parts = urlsplit((await self._announced())["authorization_endpoint"])
        except TimeoutError:
            raise self._unreachable() from None
        return f"{parts.scheme}://{parts.netloc}"

    async def begin(self, pending: Pending, callback: str) -> str:
        """Where to send a browser.

        Raises
        ------
        Unreachable
            If the provider cannot be asked.
        """
        announced = await self._announced()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(pending.verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code", "client_id": self._client_id, "scope": "openid profile email",
            "redirect_uri": callback, "state": pending.state, "nonce": pending.nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        address = str(announced["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    async def finish(self, pending: Pending | None, said: dict[str, str], callback: str) -> Told:
        """Who came back.

        Parameters
        ----------
        pending
            What the browser remembers of having gone there.
        said
            What it came back with: `code` and `state`, or `error`.

        Raises
        ------
        NotAllowed
            If it is not what was begun, or the provider does not vouch for it.
        Unreachable
            If the provider cannot be asked.
        """
        same = pending is not None and secrets.compare_digest(pending.state.encode(), said.get("state", "").encode())
        if pending is None or not same or not said.get("code") or said.get("iss", self.issuer) != self.issuer:
            raise NotAllowed(AGAIN)
        announced = await self._announced()
        token = await self._exchange(announced, said["code"], pending.verifier, callback)
        claims = await self._claims(announced, token, pending.nonce)
        email = str(claims.get("email", "")).lower() if claims.get("email_verified") is True else ""
        names = (claims.get(claim) for claim in ("name", "preferred_username", "nickname"))
        name = next((each for each in (*names, email.partition("@")[0]) if isinstance(each, str) and each.strip()), "")
        return Told(
            f"{self.issuer} {claims['sub']}", (name or "somebody").strip()[:100],
            admitted="@" in email and email.rpartition("@")[2] in self._admits,
        )  # fmt: skip

    async def _exchange(self, announced: dict[str, Any], code: str, verifier: str, callback: str) -> str:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": callback, "code_verifier": verifier,
        }  # fmt: skip
        ways = announced["ways"]
        auth = None
        if "client_secret_basic" in ways or "client_secret_post" not in ways:
            auth = (quote(self._client_id, safe=""), quote(self._client_secret, safe=""))
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        status, answer = await self._ask("POST", announced["token_endpoint"], data=form, auth=auth)
        token = answer.get("id_token") if status == 200 else None
        if not isinstance(token, str):
            raise NotAllowed(AGAIN)
        return token

    async def _claims(self, announced: dict[str, Any], token: str, nonce: str) -> dict[str, Any]:
        """What the token says, if it is from the provider, for this server, for this very sign-in, and of now."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        for keys in (announced["keys"], None):
            try:
                # A key that is not known yet may be a new one.
                found = keys if keys is not None else (await self._announced(anew=True))["keys"]
                decoded = jwt.decode(token, found, algorithms=ALGORITHMS)
                registry.validate(decoded.claims)
            except (JoseError, ValueError) as error:
                if keys is None or not _names_no_key(error):
                    raise NotAllowed(f"{self.name} does not vouch for this; try again.") from None
                continue
            claims = decoded.claims
            party = claims.get("azp", self._client_id)
            if party != self._client_id or not isinstance(claims["sub"], str) or not claims["sub"]:
                raise NotAllowed(f"{self.name} does not vouch for this; try again.")
            return dict(claims)
        raise AssertionError

    async def _announced(self, *, anew: bool = False) -> dict[str, Any]:
        """What the provider announces of itself, with its keys: asked for once, however many want to know."""
        now = time.monotonic()
        age = now - self._known.get("read", -KNOWN_SECONDS)
        if age < (30.0 if anew else KNOWN_SECONDS):  # whoever sends nonsense must not make the server fetch
            return self._known
        if now - self._away_since >= AWAY_SECONDS:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_anew())
            await asyncio.shield(self._asking)  # whoever goes away meanwhile does not end it for the others
        if self._away:
            raise Unreachable(self._away)
        return self._known

    async def _ask_anew(self) -> None:
        try:
            self._known = await self._read()
            self._away, self._away_since = "", -AWAY_SECONDS
        except Unreachable as error:
            self._away, self._away_since = str(error), time.monotonic()

    async def _read(self) -> dict[str, Any]:
        told = await self._fetch(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        addresses = {name: told.get(name) for name in needed}
        if told.get("issuer") != self.issuer or not all(
            isinstance(a, str) and _is_safe(a) for a in addresses.values()
        ):  # fmt: skip
            raise Unreachable(
                f"What {self.name} announces is not for the issuer {self.issuer}; check ASKWISE_OIDC_ISSUER."
            )
        ways = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        keys = _keys(await self._fetch(str(addresses["jwks_uri"])))
        return {**addresses, "ways": ways, "keys": keys, "read": time.monotonic()}

    async def _fetch(self, address: str) -> dict[str, Any]:
        status, told = await self._ask("GET", address)
        if status != 200:
            raise self._unreachable()
        return told

    async def _ask(self, method: str, address: str, **sent: Any) -> tuple[int, dict[str, Any]]:
        """What the provider answers, as JSON; no redirect is followed, and no answer read that is too long or slow."""
        import httpx

        body = b""
        try:
            async with (
                asyncio.timeout(PATIENCE),  # that of httpx begins anew with each piece of an answer
                httpx.AsyncClient(timeout=None, follow_redirects=False, trust_env=False) as client,
                client.stream(method, address, headers={"Accept": "application/json"}, **sent) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > LARGEST:
                        raise self._unreachable()
            told = json.loads(body)
        except (httpx.HTTPError, TimeoutError, ValueError):
            raise self._unreachable() from None
        if not isinstance(told, dict):
            raise self._unreachable()
        return answer.status_code, told

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"{self.name} cannot be reached at this moment; try again in a while.")


def _keys(told: dict[str, Any]) -> Any:
    """The provider's public keys."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        public = [key for key in told.get("keys", []) if isinstance(key, dict) and key.get("kty") in ("RSA", "EC")]
        return KeySet.import_key_set({"keys": public})
    except (JoseError, ValueError, KeyError):
        raise Unreachable("The identity provider's keys cannot be read; try again in a while.") from None


def _names_no_key(error: Exception) -> bool:
    from joserfc.errors import InvalidKeyIdError

    return isinstance(error, InvalidKeyIdError)


def _is_safe(address: str) -> bool:
    """Whether nobody on the way can read or change what is said there."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )
