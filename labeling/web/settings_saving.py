"""Widgets of the Settings page that are a setting: they show it as it is, and save it as soon as it is changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from labeling import projects
from labeling.errors import AskwiseError
from labeling.web import current

ERROR = "settings_error"


@dataclass(frozen=True)
class Saving:
    """Makes such widgets for one project; those who do not own it can only read them."""

    project_id: int
    owner: bool

    def __call__(
        self, label: str, name: str, draw: Callable[..., Any], value: object,
        to: Callable[[Any], object] = lambda value: value, **options: Any,
    ) -> Any:  # fmt: skip
        """A widget of the setting `name`, whose value `to` makes of the widget's."""
        return self.several(label, name, draw, value, lambda chosen: {name: to(chosen)}, **options)

    def several(
        self, label: str, name: str, draw: Callable[..., Any], value: object,
        to: Callable[[Any], dict[str, object]], **options: Any,
    ) -> Any:  # fmt: skip
        """A widget of its own name that several settings follow."""
        key = f"setting_{name}_{self.project_id}"
        st.session_state[key] = value
        return draw(label, key=key, on_change=self._save, args=(key, to), disabled=not self.owner, **options)

    def _save(self, key: str, to: Callable[[Any], dict[str, object]]) -> None:
        """Take over what a widget says."""
        try:
            changes = to(st.session_state[key])
            projects.update_settings(current.workspace(), current.actor(), self.project_id, changes)
            st.toast("Saved", icon=":material/check:")
        except AskwiseError as error:
            st.session_state[ERROR] = str(error)
