"""The script that Streamlit runs for every page: the frame around them."""

import streamlit as st

from labeling.db.schema import Role
from labeling.projects import roles
from labeling.users import read_me
from labeling.web import current
from labeling.web.components.watch import watch
from labeling.web.frame import PAGES, shortened

st.set_page_config(page_title="Askwise", page_icon=PAGES.parent / "mark.svg", layout="wide")
st.logo(PAGES.parent / "wordmark.svg", size="large")
watch(left="account_left" in st.session_state)
me = read_me(current.workspace(), current.actor())
if st.session_state.setdefault("whose", me.id) != me.id:  # somebody else signed in at this browser
    st.session_state.clear()
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
            PAGES / "review.py",
            title="Review",
            icon=":material/gavel:",
            visibility="visible" if roles(current.workspace(), current.actor()) - {Role.ANNOTATOR} else "hidden",
            help="What only an expert can settle: disagreements, doubts, flags and labels that look wrong.",
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
        st.Page(
            PAGES / "team.py",
            title="Team",
            icon=":material/group:",
            help="The people of a project, their roles, and links by which others join.",
        ),
        st.Page(
            PAGES / "account.py",
            title=shortened(me.name),
            icon=":material/account_circle:",
            visibility="visible" if me.accounts else "hidden",
            help="Your password, where you are signed in, your API tokens, and the way out.",
        ),
    ],
    position="top",
)
page.run()
