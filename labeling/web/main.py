"""The script that Streamlit runs for every page: the frame around them."""

from pathlib import Path

import streamlit as st

PAGES = Path(__file__).parent / "pages"

st.set_page_config(page_title="Askwise", page_icon=":material/ads_click:", layout="wide")
page = st.navigation(
    [
        st.Page(PAGES / "projects.py", title="Projects", icon=":material/folder_open:", default=True),
        st.Page(PAGES / "label.py", title="Label", icon=":material/label:"),
        st.Page(PAGES / "insights.py", title="Insights", icon=":material/monitoring:"),
        st.Page(PAGES / "export.py", title="Export", icon=":material/download:"),
    ],
    position="top",
)
page.run()
