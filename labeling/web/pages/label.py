"""Label: the labeller of the current project. It talks to the API by itself, so an answer reruns nothing here."""

import streamlit as st

from labeling.projects import read_project
from labeling.web import current, frame
from labeling.web.components.labeller import labeller

project = frame.current_project()


@st.fragment(run_every="1s")
def arriving() -> None:
    """Wait for the first items, then show them."""
    if read_project(current.workspace(), current.actor(), project.id).items:
        st.rerun()
    job = frame.newest_import(project.id)
    if job is None or job.finished is not None:
        st.rerun()
    else:
        frame.import_progress(job)


if not project.items:
    job = frame.newest_import(project.id)
    if job is not None and job.finished is None:
        frame.empty("hourglass_top", "The items are on their way", "Labeling begins as soon as the first ones are in.")
        arriving()
    else:
        with frame.empty(
            "image", f"“{frame.plain(project.name)}” has no items yet", "Import a zip of images on the Projects page."
        ):
            if st.button("Go to Projects", type="primary", icon=":material/arrow_forward:"):
                frame.go_to("projects")
    st.stop()

detail = read_project(current.workspace(), current.actor(), project.id)

if not detail.classes:
    with frame.empty(
        "category",
        f"“{frame.plain(project.name)}” has no classes yet",
        "Import a zip whose folders are named after the classes.",
    ):
        if st.button("Go to Projects", type="primary", icon=":material/arrow_forward:"):
            frame.go_to("projects")
    st.stop()

labeller(
    {
        "id": project.id,
        "name": project.name,
        "guidelines": project.guidelines,
        "classes": [c.model_dump() for c in detail.classes],
        "show_suggestion": detail.settings.suggestions == "show",
        "person": current.actor(),
    },
    key=f"labeller-{project.id}",
)
