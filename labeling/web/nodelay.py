"""Answers leave at once.

Streamlit binds its socket without naming the protocol, so asyncio does not switch Nagle's algorithm off, and on a kept
connection each answer waits some 40 ms for the browser's acknowledgement of the one before.
"""

import socket

from starlette.types import ASGIApp, Receive, Scope, Send


class AnswerAtOnce:
    """ASGI middleware: sets TCP_NODELAY on the connection that a request came by, where the server lets us see it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        transport = getattr(getattr(receive, "__self__", None), "transport", None)
        connection = transport.get_extra_info("socket") if transport is not None else None
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._app(scope, receive, send)
