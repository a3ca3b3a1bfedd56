"""The workspace that this process serves, and who is looking at a page of it."""

from typing import get_args

import streamlit as st

from labeling import signing_in
from labeling.signing_in import Identity, Kind
from labeling.users import local_user
from labeling.workspace import Workspace

HEADER = "x-askwise-identity"  # that `labeling.web.auth` gives to each websocket, and lets in from nowhere else
ADDRESS = "x-askwise-address"
_served: list[Workspace] = []


def serve(workspace: Workspace) -> None:
    """Name the workspace that this process serves from now on."""
    _served[:] = [workspace]


def workspace() -> Workspace:
    """The workspace being served."""
    return _served[0]


def actor() -> int:
    """The id of the user who looks at the page, asked anew each time; the page ends where they are signed out."""
    user_id = signing_in.still(workspace(), identity())
    if user_id is None:
        st.error("You are signed out. [Sign in](/sign-in) to go on.", icon=":material/lock:")
        st.stop()
    return user_id


def address() -> str:
    """Where the person is, as far as anybody who is trusted says so."""
    return st.context.headers.get(ADDRESS) or ""


def identity() -> Identity:
    """By what the person is known. A page that runs without a server around it is the local user's, if anybody's."""
    kind, _, key = (st.context.headers.get(HEADER) or "").partition(" ")
    for known in get_args(Kind):
        if kind == known and key.isdecimal():
            return Identity(known, int(key))
    return Identity("local", local_user(workspace()))
