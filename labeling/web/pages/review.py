"""Review: what only an expert can settle. The page's component talks to the API by itself."""

import streamlit as st

from labeling.db.schema import Role
from labeling.projects import read_project
from labeling.web import current, frame
from labeling.web.components.review import review

project = frame.current_project()

if project.role is Role.ANNOTATOR:
    with frame.empty(
        "gavel",
        f"“{frame.plain(project.name)}” is reviewed by its experts",
        "You are an annotator here; its owner can make you an expert.",
    ):
        if st.button("Go to Label", type="primary", icon=":material/arrow_forward:"):
            frame.go_to("label", project.id)
    st.stop()

detail = read_project(current.workspace(), current.actor(), project.id)

if not detail.items or not detail.classes:
    with frame.empty(
        "gavel",
        f"“{frame.plain(project.name)}” has nothing to review yet",
        "Items come here when answers disagree, when somebody is unsure or flags one, and when a label looks wrong.",
    ):
        if st.button("Go to Projects", type="primary", icon=":material/arrow_forward:"):
            frame.go_to("projects")
    st.stop()

review(
    {
        "id": project.id,
        "name": project.name,
        "guidelines": project.guidelines,
        "classes": [c.model_dump() for c in detail.classes],
        "schema_version": detail.schema_version,
        "overlap": detail.settings.overlap,
        "person": current.actor(),
    },
    key=f"review-{project.id}",
)
