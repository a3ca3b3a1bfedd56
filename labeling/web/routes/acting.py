"""Who acts: `labeling.web.auth` has named the user before a request comes to a route."""

from typing import Annotated

from fastapi import Depends, Request


def _acting(request: Request) -> int:
    return int(request.scope["askwise.actor"])


Actor = Annotated[int, Depends(_acting)]
