"""One process, one port: pages, API, media, sign-in and worker as one Streamlit app."""

import gc
import os
import socket
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Mount
from streamlit import config

from labeling.errors import Invalid, NotFound
from labeling.web import current, sign_in
from labeling.web.api import create_api
from labeling.web.auth import NameTheActor
from labeling.web.embedded import EmbeddedWorker
from labeling.web.nodelay import AnswerAtOnce
from labeling.web.peers import Proxies, is_loopback
from labeling.web.provider import Provider
from labeling.workspace import Workspace, open_workspace

HERE = Path(__file__).parent
# Where the server below would take a request's address from its headers; which proxies may say it is for us to know.
REWRITES = "FORWARDED_ALLOW_IPS"


def app_options(workspace: Workspace | None = None, *, with_worker: bool = True) -> dict[str, Any]:
    """What `st.App` is made of: the script, the API, the sign-in, and the worker in its lifespan."""
    # A thread that saves lets go of the interpreter at each statement; it must not wait 5 ms to get it back.
    sys.setswitchinterval(0.0005)
    served = workspace or open_workspace()
    current.serve(served)
    proxies, provider = Proxies.of_environment(), Provider.of_environment()
    if proxies.networks and os.environ.get(REWRITES) != "":
        raise Invalid(f"With ASKWISE_TRUSTED_PROXIES, start the app by `askwise serve`, or set {REWRITES} to nothing.")

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[dict[str, Any]]:
        gc.freeze()  # what is loaded by now stays: looking through it for garbage keeps everybody waiting 0.1 s
        if with_worker:
            with EmbeddedWorker(served):
                yield {}
        else:
            yield {}

    return {
        "script_path": HERE / "pages" / "main.py",
        "routes": [Mount("/api/v1", app=create_api(served)), *sign_in.routes(served, provider)],
        "middleware": [
            Middleware(AnswerAtOnce),
            Middleware(NameTheActor, workspace=served, proxies=proxies, to_itself=_listens_to_itself),
        ],
        "lifespan": lifespan,
    }


def create_app(workspace: str | Path | Workspace | None = None, *, with_worker: bool = True) -> st.App:
    """The application over one workspace (by default the one that ASKWISE_WORKSPACE names)."""
    opened = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    return st.App(**app_options(opened, with_worker=with_worker))


def run(workspace: Workspace, *, port: int | None = None, address: str | None = None, with_worker: bool = True) -> None:
    """Serve a workspace until stopped. The port is ASKWISE_PORT, then 8501, when None.

    Raises
    ------
    Invalid
        If the port is no number, or is taken.
    """
    settings = _settings()
    settings["server.port"] = port = port or _default_port()
    if address is not None:
        settings["server.address"] = address
    _check_free(settings["server.address"], port)
    os.environ[REWRITES] = ""
    create_app(workspace, with_worker=with_worker).run(config=settings)


def _listens_to_itself() -> bool:
    """Whether the server listens to this machine alone."""
    return is_loopback(config.get_option("server.address") or "")


def _default_port() -> int:
    given = os.environ.get("ASKWISE_PORT") or "8501"
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise Invalid(f"ASKWISE_PORT is “{given}”; set it to a number from 1 to 65535.")
    return int(given)


def _check_free(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            way_out = "stop what uses it, or choose another with --port or ASKWISE_PORT"
            raise Invalid(f"Nothing can listen on {address}, port {port} ({error.strerror}); {way_out}.") from None


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
