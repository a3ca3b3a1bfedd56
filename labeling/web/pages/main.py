"""The script that Streamlit runs for every page: the frame around them."""

import streamlit as st

from labeling.web.frame import PAGES

st.set_page_config(page_title="Askwise", page_icon=PAGES.parent / "mark.svg", layout="wide")
st.logo(PAGES.parent / "wordmark.svg", size="large")
page = st.navigation(
    [
        st.Page(
            PAGES / "projects.py",
            title="Projects",
            icon=":material/folder_open:",
            default=True,
            help="Make projects, import images, and see how far each is.",
        ),
        st.Page(
            PAGES / "label.py",
            title="Label",
            icon=":material/label:",
            help="One item, one key, the next item: the model asks what it would learn most from.",
        ),
        st.Page(
            PAGES / "insights.py",
            title="Insights",
            icon=":material/monitoring:",
            help="How right the model is, how labels come in, how the classes are balanced, and who answered.",
        ),
        st.Page(
            PAGES / "settings.py",
            title="Settings",
            icon=":material/tune:",
            help="Classes, guidelines, what is asked next and how, and items that are nearly the same.",
        ),
        st.Page(
            PAGES / "export.py",
            title="Export",
            icon=":material/download:",
            help="Every answer with its provenance, as CSV or JSON Lines.",
        ),
    ],
    position="top",
)
page.run()
