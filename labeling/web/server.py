"""One process, one port: pages, API, media, sign-in and worker as one Streamlit app."""

import os
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Mount

from labeling.errors import NotFound
from labeling.web import current
from labeling.web.api import create_api
from labeling.web.auth import NameTheActor
from labeling.web.embedded import EmbeddedWorker
from labeling.web.nodelay import AnswerAtOnce
from labeling.workspace import Workspace, open_workspace

HERE = Path(__file__).parent


def app_options(workspace: Workspace | None = None, *, with_worker: bool = True) -> dict[str, Any]:
    """What `st.App` is made of: the script, the API, the sign-in, and the worker in its lifespan."""
    # A thread that saves lets go of the interpreter at each statement; it must not wait 5 ms to get it back.
    sys.setswitchinterval(0.0005)
    served = workspace or open_workspace()
    current.serve(served)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[dict[str, Any]]:
        if with_worker:
            with EmbeddedWorker(served):
                yield {}
        else:
            yield {}

    return {
        "script_path": HERE / "pages" / "main.py",
        "routes": [Mount("/api/v1", app=create_api(served))],
        "middleware": [Middleware(AnswerAtOnce), Middleware(NameTheActor, workspace=served)],
        "lifespan": lifespan,
    }


def create_app(workspace: str | Path | Workspace | None = None, *, with_worker: bool = True) -> st.App:
    """The application over one workspace (by default the one that ASKWISE_WORKSPACE names)."""
    opened = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    return st.App(**app_options(opened, with_worker=with_worker))


def run(workspace: Workspace, *, port: int | None = None, address: str | None = None, with_worker: bool = True) -> None:
    """Serve a workspace until stopped. The port is ASKWISE_PORT, then 8501, when None."""
    settings = _settings()
    settings["server.port"] = port or int(os.environ.get("ASKWISE_PORT", "8501"))
    if address is not None:
        settings["server.address"] = address
    create_app(workspace, with_worker=with_worker).run(config=settings)


def _settings() -> dict[str, Any]:
    """`.streamlit/config.toml` as `section.option`: beside this module in a wheel, at the top of a checkout."""
    for folder in (HERE, HERE.parent.parent):
        path = folder / ".streamlit" / "config.toml"
        if path.is_file():
            return dict(_flatten(tomllib.loads(path.read_text(encoding="utf-8"))))
    raise NotFound("The settings of the app (.streamlit/config.toml) are missing; install Askwise again.")


def _flatten(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    return [
        pair
        for name, value in table.items()
        for pair in (_flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)])
    ]
