"""Who a request comes from, for pages, API, media and websocket alike, decided before any of them sees it.

The bearer of a token is its user; a signed-in browser its own, by its cookie; and whom a trusted proxy names. While the
workspace has no accounts and the server listens to this machine alone, somebody at this very machine is the local user.
Everybody else is refused, and a page sent to sign in. A websocket is asked again at each message, and in silence.
"""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labeling import signing_in
from labeling.signing_in import Identity
from labeling.users import local_user, token_of
from labeling.web.peers import Caller, Forged, Proxies, caller_of
from labeling.workspace import Workspace

SIGN_IN = (
    "Sign in, or send a valid API token (`Authorization: Bearer …`; `askwise token NAME` makes one), "
    "or use a browser on the machine that Askwise runs on while nobody has an account there."
)
ONLY_THE_PROXY = "Only the proxy may say who you are; sign in here, or go through the proxy."
IDENTITY = b"x-askwise-identity"  # tells the pages of a websocket whose it is; nobody outside can send it
ADDRESS = b"x-askwise-address"  # and where it comes from
UPLOADS = re.compile(r"/api/v1/projects/\d+/uploads")  # where a file is the body; the header still keeps others out
FILE_TYPES = {"application/octet-stream", "multipart/form-data"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# Signing in itself, and a word to whoever watches over the server that it is alive.
PUBLIC = re.compile(
    r"/sign-in(/(provider|callback|look\.css|wordmark\.svg|mark\.svg))?|/sign-out|/join/[^/]+(/with)?|/_stcore/health"
)
ASKED_EVERY = 3.0  # seconds after which a silent websocket's identity is asked for again
SIGNED_OUT = 4401
FRAMES = (b"content-security-policy", b"frame-ancestors 'self'")


class NameTheActor:
    """ASGI middleware: puts the acting user's id into `scope["askwise.actor"]`, or refuses in one sentence.

    Beside it, `askwise.caller` says where the request comes from, and `askwise.identity` by what it is that user's. At
    the public paths actor and identity may be None.

    Parameters
    ----------
    to_itself
        Whether the server listens to this machine alone.
    """

    def __init__(
        self,
        app: ASGIApp,
        workspace: Workspace,
        *,
        proxies: Proxies | None = None,
        to_itself: Callable[[], bool] = lambda: True,
    ) -> None:
        self._app = app
        self._workspace = workspace
        self._proxies = proxies or Proxies()
        self._to_itself = to_itself
        self._local = Identity("local", local_user(workspace))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the actor and pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            caller = caller_of(scope, self._proxies)
        except Forged:
            await _refuse(scope, send, 403, ONLY_THE_PROXY)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        found = await self._who(scope, headers, caller)
        public = scope["type"] == "http" and PUBLIC.fullmatch(scope["path"])
        if found is None and not public:
            if _is_page(scope, headers):
                await _send_to_sign_in(scope, send)
            else:
                await _refuse(scope, send, 401, SIGN_IN)
            return
        if scope["type"] == "http" and (refusal := _forged(scope, headers)):
            await _refuse(scope, send, 403, refusal)
            return
        identity, actor = found or (None, None)
        scope["askwise.caller"], scope["askwise.identity"], scope["askwise.actor"] = caller, identity, actor
        if scope["type"] == "websocket" and identity is not None:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() not in (IDENTITY, ADDRESS)]
            scope["headers"].append((IDENTITY, f"{identity.kind} {identity.key}".encode()))
            scope["headers"].append((ADDRESS, caller.address.encode("latin-1", "replace")))
            watched = _Watched(receive, send, lambda: self.still(identity))
            await self._app(scope, watched.receive, watched.send)
        else:
            await self._app(scope, receive, _unframed(send))

    async def still(self, identity: Identity) -> bool:
        """Whether an identity stands for somebody at this moment."""
        return await to_thread.run_sync(signing_in.still, self._workspace, identity) is not None

    async def _who(self, scope: Scope, headers: dict[str, str], caller: Caller) -> tuple[Identity, int] | None:
        authorization = headers.get("authorization", "")
        if authorization:
            scheme, _, secret = authorization.partition(" ")
            if scheme.lower() != "bearer":
                return None
            token = await to_thread.run_sync(token_of, self._workspace, secret.strip())
            return None if token is None or token.id is None else (Identity("token", token.id), token.user_id)
        # What follows, a browser sends by itself, also where a page from elsewhere makes it.
        if not _meant(scope, headers, caller):
            return None
        if caller.user:
            return await to_thread.run_sync(signing_in.known_by, self._workspace, subject_of(caller))
        cookie = cookie_parser(headers.get("cookie", "")).get(cookie_name(caller))
        if cookie and (found := await to_thread.run_sync(signing_in.signed_in, self._workspace, cookie)):
            return found
        if caller.here and self._to_itself() and await self.still(self._local):
            return self._local, self._local.key
        return None


def subject_of(caller: Caller) -> str:
    """What an account is tied to whose user a trusted proxy names."""
    return f"proxy {caller.user}"


def cookie_name(caller: Caller) -> str:
    """The cookie of a signed-in browser; another server on this machine, at another port, has another one."""
    port = re.search(r":(\d+)$", caller.host)
    name = f"askwise-{port.group(1)}" if port else "askwise"
    return f"__Host-{name}" if caller.secure else name


def _meant(scope: Scope, headers: dict[str, str], caller: Caller) -> bool:
    """Whether the person meant this request: a page of this server sends it, or they went here themselves."""
    goes_here = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS and goes_here and not caller.origin:
        return True
    if scope["type"] == "websocket" and not caller.origin and not caller.here:
        return False  # a browser always says one there; a program at this machine need not
    return caller.at_home


def _forged(scope: Scope, headers: dict[str, str]) -> str:
    """Why a write to the API may come from another site's page; empty when it cannot."""
    if scope["method"] in SAFE_METHODS or not scope["path"].startswith("/api/"):
        return ""
    if headers.get("x-askwise") != "1":
        return "Every write needs the header `X-Askwise: 1`."
    sent = headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json" and not (UPLOADS.fullmatch(scope["path"]) and sent in FILE_TYPES):
        return "Every write needs a JSON body (`Content-Type: application/json`)."
    return ""


class _Watched:
    """A websocket that is closed as soon as the identity behind it stands for nobody."""

    def __init__(self, receive: Receive, send: Send, still: Callable[[], Any]) -> None:
        self._receive, self._send, self._still = receive, send, still
        self._closed = False

    async def receive(self) -> Message:
        """The next message, if whoever sent it may still send any."""
        waiting = asyncio.ensure_future(self._receive())
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=ASKED_EVERY)
                if not await self._still():
                    break
                if done:
                    return waiting.result()
        finally:
            waiting.cancel()
        with suppress(Exception):  # it may be closed from the other side at this moment
            await self._close()
        return {"type": "websocket.disconnect", "code": SIGNED_OUT}

    async def _close(self) -> None:
        closed, self._closed = self._closed, True
        if not closed:
            await self._send({"type": "websocket.close", "code": SIGNED_OUT, "reason": "not signed in"})

    async def send(self, message: Message) -> None:
        """Pass a message on; nothing after the end."""
        if not self._closed:
            await self._send(message)


def _unframed(send: Send) -> Send:
    """Keep other sites from showing a page inside theirs, where clicks could be stolen."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            names = {name.lower(): value for name, value in headers}
            if names.get(b"content-type", b"").startswith(b"text/html") and FRAMES[0] not in names:
                message = {**message, "headers": [*headers, FRAMES]}
        await send(message)

    return sent


def _is_page(scope: Scope, headers: dict[str, str]) -> bool:
    """Whether a browser asks for a page that a person is to see."""
    apart = scope["path"].startswith(("/api/", "/_stcore/", "/media/", "/component/"))
    wants = "text/html" in headers.get("accept", "") and scope.get("method") == "GET"
    return scope["type"] == "http" and wants and not apart


async def _send_to_sign_in(scope: Scope, send: Send) -> None:
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    location = "/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='')}"
    headers = [(b"location", location.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": SIGNED_OUT, "reason": "not signed in"})
        return
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
