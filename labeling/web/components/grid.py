"""The grid: a screen of items that the model believes are one class, the exceptions marked, the rest confirmed."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from labeling.web.components.labeller import as_data, joined

_SCRIPTS = (
    "nodes.js", "calls.js", "outbox.js", "content.js", "search.js", "classes.js", "status.js", "keys.js", "presence.js",
    "screens.js", "tiles.js", "board.js", "grid.js",
)  # fmt: skip
_STYLES = ("labeller.css", "answers.css", "help.css", "grid.css")

_mount = st.components.v2.component("askwise_grid", js=joined(_SCRIPTS), css=joined(_STYLES))


def grid(project: Mapping[str, Any], *, key: str, on_leave: Callable[[], None]) -> None:
    """Show the grid of one project.

    Parameters
    ----------
    project : Mapping
        What `labeling.web.components.labeller.labeller` takes; ``count`` (default 40) is how many tiles a screen has
        until the person chooses otherwise.
    key : str
        Streamlit's element key.
    on_leave : Callable
        Called when the person would rather label one by one.
    """
    _mount(key=key, data={**as_data(project), "count": project.get("count", 40)}, on_leave_change=on_leave)
