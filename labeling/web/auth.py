"""Who a request comes from, for pages, API, media and websocket alike, decided before any of them sees it.

The bearer of a token is its user. Without one, somebody at this very machine is the local user, and everybody else
is refused. The `Host` header is checked too, so that a page elsewhere cannot reach in by renaming this machine.
"""

import ipaddress
import json
import re
from collections.abc import Iterable

from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from labeling.users import bearer, local_user
from labeling.workspace import Workspace

SIGN_IN = (
    "Send a valid API token (`Authorization: Bearer …`; `askwise token NAME` makes one), "
    "or use a browser on the machine that Askwise runs on."
)
FORWARDED = {"forwarded", "x-forwarded-for", "x-real-ip"}
UPLOADS = re.compile(r"/api/v1/projects/\d+/uploads")  # where a file is the body; the header still keeps others out
FILE_TYPES = {"application/octet-stream", "multipart/form-data"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class NameTheActor:
    """ASGI middleware: puts the acting user's id into `scope["askwise.actor"]`, or refuses in one sentence."""

    def __init__(self, app: ASGIApp, workspace: Workspace) -> None:
        self._app = app
        self._workspace = workspace
        self._local = local_user(workspace)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the actor and pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        actor = await self._actor(scope, headers)
        if actor is None:
            await _refuse(scope, send, 401, SIGN_IN)
        elif scope["type"] == "http" and (refusal := _forged(scope, headers)):
            await _refuse(scope, send, 403, refusal)
        else:
            scope["askwise.actor"] = actor
            await self._app(scope, receive, send)

    async def _actor(self, scope: Scope, headers: dict[str, str]) -> int | None:
        authorization = headers.get("authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            return (
                await to_thread.run_sync(bearer, self._workspace, token.strip()) if scheme.lower() == "bearer" else None
            )
        if FORWARDED & headers.keys():  # a proxy on this machine speaks for somebody elsewhere
            return None
        client = (scope.get("client") or ("", 0))[0]
        origin = headers.get("origin", "")
        here = [client, _host(headers.get("host", "")), *([_host(origin.partition("://")[2])] if origin else [])]
        return self._local if _all_loopback(here) else None


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


def _host(netloc: str) -> str:
    """The host of `host:port` or `[v6]:port`."""
    return netloc[1:].partition("]")[0] if netloc.startswith("[") else netloc.partition(":")[0]


def _all_loopback(hosts: Iterable[str]) -> bool:
    return all(host == "localhost" or _is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4401, "reason": "not signed in"})
        return
    body = json.dumps({"detail": sentence}).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
