"""A watch that each page keeps: it goes to the sign-in page once nobody is signed in there any more."""

import streamlit as st

from labeling.web.components.labeller import joined

_mount = st.components.v2.component(
    "askwise_watch",
    js=joined(("watch.js",)),
    html='<span class="askwise-watch"></span>',
    css=joined(("watch.css",)),
    isolate_styles=False,
)


def watch(*, left: bool = False) -> None:
    """Keep watch; where the person has `left`, go to the sign-in page at once."""
    _mount(key="watch", data={"left": left})
