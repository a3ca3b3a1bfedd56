"""Review: what waits for an expert, one press, the next one. The Review page's one component; it talks to the API."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from labeling.web.components.labeller import as_data, joined

_SCRIPTS = (
    "nodes.js", "calls.js", "outbox.js", "content.js", "viewer.js", "search.js", "classes.js", "help.js", "status.js",
    "keys.js", "presence.js", "docket.js", "evidence.js", "talk.js", "review_view.js", "review_keys.js", "review.js",
)  # fmt: skip
_STYLES = ("labeller.css", "content.css", "answers.css", "help.css", "evidence.css", "review.css")

_mount = st.components.v2.component("askwise_review", js=joined(_SCRIPTS), css=joined(_STYLES))


def review(project: Mapping[str, Any], *, key: str) -> None:
    """Show what waits for an expert in one project.

    Parameters
    ----------
    project : Mapping
        What `labeling.web.components.labeller.labeller` takes, and ``overlap``: how many people answer an item.
    key : str
        Streamlit's element key.
    """
    _mount(key=key, data={**as_data(project), "overlap": project.get("overlap", 1)})
