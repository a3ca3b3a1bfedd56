"""The labeller: one item, one press, the next item. The Label page's one component; it talks to the API by itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent
# One module for the browser: each file uses what those before it define.
_SCRIPTS = (
    "nodes.js", "calls.js", "outbox.js", "tab.js", "supply.js", "content.js", "viewer.js", "search.js", "classes.js",
    "help.js", "guide.js", "status.js", "view.js", "keys.js", "presence.js", "labeller.js",
)  # fmt: skip
_STYLES = ("labeller.css", "content.css", "answers.css", "help.css")


def joined(names: tuple[str, ...]) -> str:
    """Files of this folder as one module, or as one style sheet."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


_mount = st.components.v2.component("askwise_labeller", js=joined(_SCRIPTS), css=joined(_STYLES))


def labeller(project: Mapping[str, Any], *, key: str, on_find: Callable[[], None] = lambda: None) -> None:
    """Show the labeller of one project.

    Parameters
    ----------
    project : Mapping
        ``id``, ``name`` and ``classes``, each class with ``id``, ``name`` and optionally ``key``, ``description``,
        ``colour`` and ``examples``; optionally ``schema_version`` (of these classes: newer ones are fetched),
        ``guidelines``, ``show_suggestion`` (default true), ``batch`` (items held in the browser, default 8) and
        ``person`` (the acting user's id: answers not yet saved are sent only as the person who gave them).
    key : str
        Streamlit's element key.
    on_find : Callable
        Called when the person wants items like the one on screen, which is then ``find`` in the session's state under
        ``key``: its ``item_id``, ``name`` and ``assignment_id``.
    """
    _mount(key=key, data=as_data(project), on_find_change=on_find)


def as_data(project: Mapping[str, Any]) -> dict[str, Any]:
    """A project as the browser gets it."""
    return {
        "api": "/api/v1",
        "project": {
            "id": project["id"],
            "name": project["name"],
            "guidelines": project.get("guidelines", ""),
        },
        "classes": [
            {
                "id": label_class["id"],
                "name": label_class["name"],
                "key": label_class.get("key"),
                "description": label_class.get("description", ""),
                "colour": label_class.get("colour"),
                "examples": label_class.get("examples", []),
            }
            for label_class in project["classes"]
        ],
        "schema_version": project.get("schema_version", 1),
        "show_suggestion": project.get("show_suggestion", True),
        "batch": project.get("batch", 8),
        "person": project.get("person"),
    }
