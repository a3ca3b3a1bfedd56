"""The grid: a screen of items believed to be one class, or found, the exceptions marked, the rest confirmed."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from labeling.web.components.labeller import as_data, joined

_SCRIPTS = (
    "nodes.js", "calls.js", "outbox.js", "content.js", "search.js", "classes.js", "status.js", "keys.js", "presence.js",
    "find.js", "screens.js", "past.js", "tiles.js", "board.js", "grid.js",
)  # fmt: skip
_STYLES = ("labeller.css", "answers.css", "help.css", "grid.css")

_mount = st.components.v2.component("askwise_grid", js=joined(_SCRIPTS), css=joined(_STYLES))


def grid(project: Mapping[str, Any], *, key: str, on_leave: Callable[[], None]) -> None:
    """Show the grid of one project.

    Parameters
    ----------
    project : Mapping
        What `labeling.web.components.labeller.labeller` takes; ``count`` (default 40) is how many tiles a screen has
        until the person chooses otherwise, and ``look`` the item of which the first screen shows others like it:
        ``item_id``, ``name`` and, where it is on lease to the person, ``assignment_id``, which is given back.
    key : str
        Streamlit's element key.
    on_leave : Callable
        Called when the person would rather label one by one.
    """
    data = {**as_data(project), "count": project.get("count", 40), "look": project.get("look")}
    _mount(key=key, data=data, on_leave_change=on_leave)
