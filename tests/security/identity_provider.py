"""A hand-made OpenID Connect provider on a port of its own, which lies when it is told to."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "askwise", "a secret of the two"


@dataclass
class FakeProvider:
    """What it believes, and what it says instead where `lies` has something."""

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, parameters={"kid": "first"}))
    sub: str = "248289761001"
    more: dict[str, Any] = field(default_factory=lambda: {"name": "Bob", "email": "bob@example.org"})
    lies: dict[str, Any] = field(default_factory=dict)  # claims; None leaves one out
    algorithm: str = "RS256"
    announces: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def authorize(self, location: str) -> dict[str, str]:
        """What a browser comes back with that was sent to this address, and whose person agreed."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT and "openid" in query["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Exchange a code, once, with whoever knows the verifier."""
        begun = self.codes.pop(form.get("code", ""), None)
        challenge = _url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if begun is None or challenge != begun["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if form.get("redirect_uri") != begun["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": self.sub, "nonce": begun["nonce"], "iat": now, "exp": now + 300,
            **self.more, **self.lies,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.signed(claims)}

    def signed(self, claims: dict[str, Any]) -> str:
        if self.algorithm == "none":
            return ".".join(_url(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)) + "."
        if self.algorithm == "HS256":  # signed by what everybody knows: the public key
            said = ".".join(_url(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "first"}, claims))
            mark = hmac.new(self.key.as_pem(private=False), said.encode(), hashlib.sha256).digest()
            return f"{said}.{_url(mark)}"
        if self.algorithm == "stranger":
            stranger = RSAKey.generate_key(2048, parameters={"kid": "first"})
            return jwt.encode({"alg": "RS256", "kid": "first"}, claims, stranger)
        return jwt.encode({"alg": "RS256", "kid": self.key.kid or ""}, claims, self.key)


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextmanager
def providing() -> Iterator[FakeProvider]:
    """The provider while the block runs."""
    fake = FakeProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked.append(self.path)
            if self.path == "/.well-known/openid-configuration":
                ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
                told = {name: f"{fake.issuer}/{path}" for name, path in ends.items()}
                self.tell(200, {"issuer": fake.issuer, **told, **fake.announces})
            elif self.path == "/keys":
                self.tell(200, {"keys": [fake.key.as_dict(private=False)]})
            else:
                self.tell(404, {})

        def do_POST(self) -> None:
            fake.asked.append(self.path)
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            basic = base64.b64encode(f"{CLIENT}:{quote(SECRET)}".encode()).decode()
            known = self.headers.get("Authorization") == f"Basic {basic}"
            form = {name: values[0] for name, values in parse_qs(sent).items()}
            self.tell(*(fake.token(form) if known else (401, {"error": "invalid_client"})))

        def tell(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
